/* What the kernel is told of a vectorizer, and where it works: every array has a fixed size. */
#ifndef TYPES_H
#define TYPES_H

#include <stddef.h>
#include <stdint.h>

#define CHARS_READ 10000  /* of a text, as models/scorers/pipeline.py has it */
#define CHARS_MAX 30000   /* of a text that Python lowered: at most three for one */
#define BYTES_MAX (4 * CHARS_MAX)
#define FEATURES_QUEUED 1024
#define WIDTH_MAX 64
#define WORD_BYTES_MAX 15
#define WORDS_KEPT 32768
#define SLACK 64 /* bytes that may be read, and are not used, behind the end of a text */

enum { ANALYZE_WORD, ANALYZE_CHAR, ANALYZE_CHAR_WB };
enum { IDENTITY, RELU, TANH, LOGISTIC };
enum { NORM_NONE, NORM_L1, NORM_L2 };
/* What a token is; compile_pipeline.py says which pattern is which. */
enum { TWO_CHARS = 1, INNER_APOSTROPHE = 2, SYMBOLS = 4, LINKS = 8, NAMES = 16, NOT_SPACE = 32, TAGS = 64, NO_QUOTES = 128 };

typedef struct {
    uint32_t hash, feature, at, bytes;
} Entry; /* of a vocabulary: an n-gram's hash, column, and where it is written; none if bytes == 0 */

typedef struct {
    int32_t analyzer, pattern, min_n, max_n;
    int32_t norm, binary, sublinear, alternate_sign;
    int32_t hashed, wide; /* columns by hash, not by vocabulary; rows are double, not float */
    uint32_t features, slot_mask;
    const Entry *entries;
    const uint8_t *written; /* the n-grams of the vocabulary */
    const double *idf;      /* per column, or null */
    const void *rows;       /* (features, width) */
} Vectorizer;

/* A word of up to 15 bytes: they, zeros, and in the last byte how many; and where it is remembered. */
typedef struct {
    uint64_t word[2];
    size_t slot;
} Key;

/* What is remembered of a word; its sums follow. With four numbers a feature that is one line of cache. */
typedef struct {
    uint64_t word[2];
    double size;    /* sum of absolute values, for l1 */
    uint64_t known; /* number of features */
} Kept;

typedef struct {
    uint32_t feature, stamp; /* column + 1, or 0 */
    double count;
} Slot;

typedef struct {
    uint8_t text[BYTES_MAX + SLACK], line[BYTES_MAX + CHARS_MAX + SLACK];
    uint32_t begins[CHARS_MAX + 8], ends[CHARS_MAX + 8];
    uint32_t word_begins[CHARS_MAX + 8], word_ends[CHARS_MAX + 8]; /* of the text, between white space */
    int64_t chars, words; /* how many of both */
    Key keys[CHARS_MAX / 2 + 8];
    uint32_t queue[FEATURES_QUEUED + 4];
    double sums[WIDTH_MAX];
} Workspace;

/* One text at one vectorizer. */
typedef struct {
    const Vectorizer *of;
    int32_t width, queued;
    uint32_t *queue;
    double *sums;
    Slot *slots;
    uint32_t *used, slots_mask, uses;
    double size;
    uint64_t known;
} Pass;

#endif
