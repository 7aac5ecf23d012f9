/* Texts to sums of coefficients: what scikit-learn's text vectorizers and a linear layer behind them compute.
 *
 * Rules:
 * 1. A text is cut at CHARS_READ code points before anything else, so every array below has a fixed size that
 *    no text can overrun. Nothing is allocated here: the caller brings a workspace of zeros.
 * 2. The sums of a text depend on that text alone. What is remembered between texts (the sums of a word's
 *    characters) is compared byte by byte before it is used, and was summed in the same order.
 * 3. Rows of coefficients are float where that loses nothing or next to nothing; sums are double.
 *
 * Theory: an n-gram is a range of bytes in a line of tokens that are joined by one blank each. Its hash is
 * MurmurHash3 (32 bits, seed 0), which is the column of a HashingVectorizer, and the slot at which the n-grams
 * of a vocabulary are looked for. Where a vectorizer is additive (no norm, no logarithm, not binary) the rows
 * are summed as they come; else they are counted first, in a table that stays in the first cache.
 */
#include <math.h>
#include <string.h>

#include "chars.h"

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
/* What a token is; compile.py says which pattern is which. */
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

static inline uint32_t load32(const uint8_t *p) {
    uint32_t x;
    memcpy(&x, p, 4);
    return x;
}

static inline uint32_t stir(uint32_t k) {
    k *= 0xcc9e2d51u;
    k = k << 15 | k >> 17;
    return k * 0x1b873593u;
}

/* MurmurHash3 x86 32, seed 0. May read, not use, 4 bytes behind the end. */
static inline uint32_t murmur(const uint8_t *p, uint32_t bytes) {
    uint32_t h = 0, left = bytes;
    for (; left >= 4; left -= 4, p += 4) {
        h ^= stir(load32(p));
        h = h << 13 | h >> 19;
        h = h * 5 + 0xe6546b64u;
    }
    if (left) h ^= stir(load32(p) & (0xFFFFFFu >> (24 - 8 * left)));
    h ^= bytes;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

static inline const void *row_of(const Vectorizer *of, int32_t width, uint32_t feature) {
    return (const char *)of->rows + (size_t)feature * (size_t)width * (of->wide ? 8 : 4);
}

static inline void add_row(const Pass *pass, uint32_t feature, double value) {
    const void *row = row_of(pass->of, pass->width, feature);
    double *sums = pass->sums;
    if (LIKELY(!pass->of->wide)) {
        const float *from = row;
        for (int32_t k = 0; k < pass->width; k += 4)
            for (int32_t j = 0; j < 4; j++) sums[k + j] += value * (double)from[k + j];
    } else {
        const double *from = row;
        for (int32_t k = 0; k < pass->width; k++) sums[k] += value * from[k];
    }
}

static inline int additive(const Vectorizer *of) {
    return !of->binary && !of->sublinear && (of->norm == NORM_NONE || (of->norm == NORM_L1 && !of->alternate_sign));
}

/* Add to sums[from] and on `numbers` numbers of each queued row. */
static inline __attribute__((always_inline)) void add_rows(const Pass *pass, const uint32_t *queue, int32_t queued,
                                                           int32_t from, const int32_t numbers) {
    const float *rows = (const float *)pass->of->rows + from;
    const size_t width = (size_t)pass->width;
    double own[16] = {0};
    for (int32_t i = 0; i < queued; i++) {
        const float *row = rows + width * (queue[i] >> 1);
        const double sign = queue[i] & 1 ? -1.0 : 1.0;
        for (int32_t k = 0; k < numbers; k++) own[k] += sign * (double)row[k];
    }
    for (int32_t k = 0; k < numbers; k++) pass->sums[from + k] += own[k];
}

/* Take what is queued: sum it, or count it. A queued feature is its column, and its sign in the lowest bit. */
static void flush(Pass *pass) {
    const Vectorizer *of = pass->of;
    const uint32_t *queue = pass->queue;
    int32_t queued = pass->queued;
    pass->queued = 0;
    pass->known += (uint64_t)queued;
    if (additive(of)) {
        if (of->idf) {
            for (int32_t i = 0; i < queued; i++) {
                double value = of->idf[queue[i] >> 1];
                add_row(pass, queue[i] >> 1, queue[i] & 1 ? -value : value);
                pass->size += value;
            }
            return;
        }
        pass->size += queued;
        if (of->wide) {
            for (int32_t i = 0; i < queued; i++) add_row(pass, queue[i] >> 1, queue[i] & 1 ? -1.0 : 1.0);
            return;
        }
        switch (pass->width) { /* known widths stay in registers */
        case 4: add_rows(pass, queue, queued, 0, 4); break;
        case 8: add_rows(pass, queue, queued, 0, 8); break;
        case 16: add_rows(pass, queue, queued, 0, 16); break;
        default:
            for (int32_t from = 0; from < pass->width; from += 4) add_rows(pass, queue, queued, from, 4);
        }
        return;
    }
    for (int32_t i = 0; i < queued; i++) {
        uint32_t feature = queue[i] >> 1, at = (feature * 2654435761u) >> 7 & pass->slots_mask;
        Slot *slot = pass->slots + at;
        while (slot->feature != feature + 1) {
            if (!slot->feature) {
                slot->feature = feature + 1;
                slot->count = 0;
                pass->used[pass->uses++] = at;
                break;
            }
            at = (at + 1) & pass->slots_mask;
            slot = pass->slots + at;
        }
        slot->count += queue[i] & 1 ? -1.0 : 1.0;
    }
}

/* Turn counts into values and sum their rows; leave the table empty again. */
static void settle(Pass *pass) {
    const Vectorizer *of = pass->of;
    for (uint32_t i = 0; i < pass->uses; i++) {
        Slot *slot = pass->slots + pass->used[i];
        uint32_t feature = slot->feature - 1;
        double value = of->binary ? 1.0 : slot->count;
        slot->feature = 0;
        if (of->sublinear) value = 1.0 + log(value);
        if (of->idf) value *= of->idf[feature];
        pass->size += of->norm == NORM_L2 ? value * value : fabs(value);
        add_row(pass, feature, value);
    }
}

static inline void enqueue(Pass *pass, uint32_t feature, uint32_t sign) {
    if (UNLIKELY(pass->queued == FEATURES_QUEUED)) flush(pass);
    __builtin_prefetch(row_of(pass->of, pass->width, feature));
    pass->queue[pass->queued++] = feature << 1 | sign;
}

/* Take one n-gram: some bytes of the line. */
static inline void take(Pass *pass, const uint8_t *at, uint32_t bytes) {
    const Vectorizer *of = pass->of;
    uint32_t hash = murmur(at, bytes);
    if (of->hashed) {
        uint32_t size = hash >> 31 ? 0u - hash : hash; /* abs; the smallest number has none */
        if (UNLIKELY(size == 0x80000000u)) size = 0x7FFFFFFFu - (of->features - 1);
        uint32_t mask = of->features - 1;
        uint32_t feature = of->features & mask ? size % of->features : size & mask;
        enqueue(pass, feature, of->alternate_sign ? hash >> 31 : 0);
        return;
    }
    for (uint32_t slot = hash & of->slot_mask;; slot = (slot + 1) & of->slot_mask) {
        const Entry *entry = of->entries + slot;
        if (!entry->bytes) return;
        if (entry->hash == hash && entry->bytes == bytes && !memcmp(of->written + entry->at, at, bytes)) {
            enqueue(pass, entry->feature, 0);
            return;
        }
    }
}

typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef uint32_t Four __attribute__((vector_size(16)));
typedef int32_t FourSigned __attribute__((vector_size(16)));

/* The four bytes at each of the four places from `at` on. */
static inline Four four_at(const uint8_t *at) {
    Bytes16 bytes;
    memcpy(&bytes, at, 16);
    return (Four)__builtin_shufflevector(bytes, bytes, 0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6);
}

static inline Four stir_four(Four k) {
    k *= 0xcc9e2d51u;
    k = k << 15 | k >> 17;
    return k * 0x1b873593u;
}

/* `murmur` of `bytes`, 1 to 7, at each of the four places from `at` on. */
static inline __attribute__((always_inline)) Four murmur_four(const uint8_t *at, const uint32_t bytes) {
    Four h = {0, 0, 0, 0};
    uint32_t left = bytes;
    if (bytes >= 4) {
        h = stir_four(four_at(at));
        h = h << 13 | h >> 19;
        h = h * 5 + 0xe6546b64u;
        at += 4, left -= 4;
    }
    if (left) h ^= stir_four(four_at(at) & (0xFFFFFFu >> (24 - 8 * left)));
    h ^= bytes;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

/* Queue the columns of the n-grams of `bytes` at `count` places; there is room for them and three more. */
static inline __attribute__((always_inline)) void enqueue_ascii(Pass *pass, const uint8_t *at, int64_t count,
                                                                const uint32_t bytes) {
    const Vectorizer *of = pass->of;
    const uint32_t mask = of->features - 1, sign = of->alternate_sign ? 1 : 0;
    const size_t row_bytes = (size_t)pass->width * (of->wide ? 8 : 4);
    const char *rows = of->rows;
    uint32_t *to = pass->queue + pass->queued;
    for (int64_t i = 0; i < count; i += 4) {
        Four hash = murmur_four(at + i, bytes);
        Four negative = (Four)((FourSigned)hash >> 31);
        Four column = ((hash ^ negative) - negative) & mask;
        Four queued = column << 1 | (negative & sign);
        memcpy(to + i, &queued, 16);
        for (int lane = 0; lane < 4; lane++) __builtin_prefetch(rows + column[lane] * row_bytes);
    }
    pass->queued += (int32_t)count;
}

/* N-grams of `n` characters at `count` places of a line that is ASCII. */
static inline void take_ascii(Pass *pass, const uint8_t *at, int64_t count, uint32_t n) {
    const int straight = pass->of->hashed && !(pass->of->features & (pass->of->features - 1));
    while (straight && n < 8 && count > 0) {
        int64_t room = FEATURES_QUEUED - pass->queued, some = count < room ? count : room;
        switch (n) {
        case 1: enqueue_ascii(pass, at, some, 1); break;
        case 2: enqueue_ascii(pass, at, some, 2); break;
        case 3: enqueue_ascii(pass, at, some, 3); break;
        case 4: enqueue_ascii(pass, at, some, 4); break;
        case 5: enqueue_ascii(pass, at, some, 5); break;
        case 6: enqueue_ascii(pass, at, some, 6); break;
        default: enqueue_ascii(pass, at, some, 7); break;
        }
        at += some, count -= some;
        if (count) flush(pass);
    }
    for (; count > 0; count--, at++) take(pass, at, n);
}

/* All n-grams over `count` pieces; piece i is line[begins[i]] to before line[ends[i]]. */
static void take_ngrams(Pass *pass, const uint8_t *line, const uint32_t *begins, const uint32_t *ends, int64_t count) {
    for (int64_t n = pass->of->min_n; n <= pass->of->max_n && n <= count; n++)
        for (int64_t i = 0; i + n <= count; i++) take(pass, line + begins[i], ends[i + n - 1] - begins[i]);
}

#define IS(c, what) (chars[c] & (what))

/* Step over characters as long as it is, or is not, `what` they are. */
static inline const uint8_t *skip(const uint32_t *chars, uint32_t what, int is, const uint8_t *at, const uint8_t *end) {
    while (at < end) {
        const uint8_t *next = at;
        uint32_t c = *next < 0x80 ? *next++ : read_char(&next, end);
        if ((IS(c, what) != 0) != is) break;
        at = next;
    }
    return at;
}

static const uint8_t *link_end(const uint32_t *chars, const uint8_t *at, const uint8_t *end) {
    const uint8_t *p = at;
    if (end - p < 8 || memcmp(p, "http", 4)) return at;
    p += p[4] == 's' ? 5 : 4;
    if (end - p < 4 || memcmp(p, "://", 3)) return at;
    const uint8_t *stop = skip(chars, SPACE, 0, p + 3, end);
    return stop == p + 3 ? at : stop;
}

/* Where the token that begins at `at` ends; `at` itself if none begins there. */
static const uint8_t *token_end(const uint32_t *chars, int32_t pattern, const uint8_t *at, const uint8_t *end) {
    if (pattern & NOT_SPACE) return skip(chars, SPACE, 0, at, end);
    if (pattern & LINKS && *at == 'h') {
        const uint8_t *stop = link_end(chars, at, end);
        if (stop != at) return stop;
    }
    if ((pattern & NAMES && *at == '@') || (pattern & TAGS && *at == '#')) {
        const uint8_t *stop = skip(chars, WORD, 1, at + 1, end);
        if (stop != at + 1) return stop;
    }
    const uint8_t *next = at;
    uint32_t c = read_char(&next, end);
    if (!IS(c, WORD)) {
        if (pattern & NO_QUOTES && (c == '\'' || c == '`' || c == 0x2019)) return at;
        return pattern & SYMBOLS && !IS(c, SPACE) ? next : at;
    }
    const uint8_t *stop = skip(chars, WORD, 1, next, end);
    while (pattern & INNER_APOSTROPHE && stop < end) {
        const uint8_t *behind = stop;
        c = read_char(&behind, end);
        if (c != '\'' && c != 0x2019) break;
        next = skip(chars, WORD, 1, behind, end);
        if (next == behind) break;
        stop = next;
    }
    return stop;
}

static void take_words(Pass *pass, Workspace *space, const uint32_t *chars, const uint8_t *at, const uint8_t *end) {
    const int32_t pattern = pass->of->pattern;
    uint8_t *to = space->line;
    int64_t count = 0;
    while (at < end) {
        const uint8_t *stop = token_end(chars, pattern, at, end);
        if (stop == at) {
            read_char(&at, end);
            continue;
        }
        const uint8_t *second = at;
        read_char(&second, end);
        if (!(pattern & TWO_CHARS) || second < stop) {
            uint32_t bytes = (uint32_t)(stop - at);
            space->begins[count] = (uint32_t)(to - space->line);
            memcpy(to, at, bytes);
            to += bytes;
            space->ends[count++] = (uint32_t)(to - space->line);
            *to++ = ' ';
        }
        at = stop;
    }
    take_ngrams(pass, space->line, space->begins, space->ends, count);
}

static void take_chars(Pass *pass, Workspace *space, const uint32_t *chars, const uint8_t *at, const uint8_t *end) {
    uint8_t *to = space->line;
    int64_t count = 0;
    while (at < end) {
        const uint8_t *begin = at;
        uint32_t c = read_char(&at, end);
        space->begins[count] = (uint32_t)(to - space->line);
        if (IS(c, SPACE)) { /* two or more become one blank; one stays what it is */
            const uint8_t *stop = skip(chars, SPACE, 1, at, end);
            if (stop != at) {
                *to++ = ' ';
                at = stop;
                space->ends[count++] = (uint32_t)(to - space->line);
                continue;
            }
        }
        memcpy(to, begin, (size_t)(at - begin));
        to += at - begin;
        space->ends[count++] = (uint32_t)(to - space->line);
    }
    if (to - space->line != count) {
        take_ngrams(pass, space->line, space->begins, space->ends, count);
        return;
    }
    for (int64_t n = pass->of->min_n; n <= pass->of->max_n && n <= count; n++)
        take_ascii(pass, space->line, count - n + 1, (uint32_t)n);
}

/* The n-grams of the characters of one word with a blank on both sides; line[0..bytes) is that. */
static void take_word_chars(Pass *pass, Workspace *space, const uint8_t *line, uint32_t bytes) {
    const int32_t min_n = pass->of->min_n, max_n = pass->of->max_n;
    uint32_t count = 0, not_ascii = 0;
    uint32_t *begins = space->begins;
    for (uint32_t at = 0; at < bytes; at++) not_ascii |= line[at] & 0x80;
    if (!not_ascii) {
        for (uint32_t n = (uint32_t)min_n; n <= (uint32_t)max_n; n++) {
            if (bytes <= n) { /* a short word counts once */
                take(pass, line, bytes);
                break;
            }
            take_ascii(pass, line, (int64_t)(bytes - n) + 1, n);
        }
        return;
    }
    for (uint32_t at = 0; at < bytes; at++)
        if ((line[at] & 0xC0) != 0x80) begins[count++] = at;
    begins[count] = bytes;
    for (uint32_t n = (uint32_t)min_n; n <= (uint32_t)max_n; n++) {
        if (count <= n) { /* a short word counts once */
            take(pass, line, bytes);
            break;
        }
        for (uint32_t i = 0; i + n <= count; i++) take(pass, line + begins[i], begins[i + n] - begins[i]);
    }
}

/* Find where each word of the text is remembered, and have that fetched: it is needed soon. */
static void find_words(Workspace *space, const Kept *kept, size_t kept_bytes) {
    static const uint64_t ONES = ~(uint64_t)0;
    for (int64_t i = 0; i < space->words; i++) {
        const uint32_t bytes = space->word_ends[i] - space->word_begins[i];
        Key *key = space->keys + i;
        if (UNLIKELY(bytes > WORD_BYTES_MAX)) continue;
        memcpy(key->word, space->text + space->word_begins[i], 16);
        if (bytes < 8) key->word[0] &= ONES >> (64 - 8 * bytes), key->word[1] = 0;
        else key->word[1] &= bytes == 8 ? 0 : ONES >> (128 - 8 * bytes);
        key->word[1] |= (uint64_t)bytes << 56;
        const uint64_t hash = (key->word[0] ^ key->word[1] * 0x9E3779B97F4A7C15u) * 0xC2B2AE3D27D4EB4Fu;
        key->slot = (size_t)(hash >> 40) % WORDS_KEPT * kept_bytes;
        for (size_t at = 0; at < kept_bytes; at += 64) __builtin_prefetch((const char *)kept + key->slot + at);
    }
}

static void take_char_wb(Pass *pass, Workspace *space, Kept *kept) {
    const size_t width = (size_t)pass->width, kept_bytes = sizeof(Kept) + 8 * width;
    double *sums = pass->sums;
    uint8_t *line = space->line;
    if (kept) find_words(space, kept, kept_bytes);
    for (int64_t i = 0; i < space->words; i++) {
        const uint8_t *at = space->text + space->word_begins[i];
        const uint32_t bytes = space->word_ends[i] - space->word_begins[i];
        const Key *key = space->keys + i;
        Kept *slot = 0;
        if (kept && LIKELY(bytes <= WORD_BYTES_MAX)) {
            slot = (Kept *)((char *)kept + key->slot);
            if (LIKELY(slot->word[0] == key->word[0] && slot->word[1] == key->word[1])) {
                const double *remembered = (const double *)(slot + 1);
                for (size_t k = 0; k < width; k++) sums[k] += remembered[k];
                pass->known += slot->known;
                pass->size += slot->size;
                continue;
            }
        }
        line[0] = ' ';
        memcpy(line + 1, at, bytes);
        line[1 + bytes] = ' ';
        if (!kept) {
            take_word_chars(pass, space, line, bytes + 2);
            continue;
        }
        double own[WIDTH_MAX];
        Pass mine = *pass;
        memset(own, 0, 8 * width);
        mine.sums = own, mine.size = 0, mine.known = 0;
        take_word_chars(&mine, space, line, bytes + 2);
        flush(&mine);
        for (size_t k = 0; k < width; k++) sums[k] += own[k];
        pass->known += mine.known;
        pass->size += mine.size;
        if (slot) {
            memcpy(slot->word, key->word, 16);
            memcpy(slot + 1, own, 8 * width);
            slot->known = mine.known, slot->size = mine.size;
        }
    }
}

/* Copy a text, lower-cased or not, and note its words; 0 if only Python can lower its case. */
static uint8_t *put_text(Workspace *space, const uint32_t *chars, int lower, int64_t chars_max, const uint8_t *at,
                         const uint8_t *end) {
    uint8_t *to = space->text, *word = to;
    int64_t words = 0;
    int64_t left = chars_max;
    for (; at < end && left; left--) {
        uint32_t c = *at < 0x80 ? *at++ : read_char(&at, end), is = chars[c];
        if (UNLIKELY(is & (SPACE | SPECIAL))) {
            if (lower && is & SPECIAL) return 0;
            if (is & SPACE) {
                if (to != word) {
                    space->word_begins[words] = (uint32_t)(word - space->text);
                    space->word_ends[words++] = (uint32_t)(to - space->text);
                }
                to = write_char(to, c);
                word = to;
                continue;
            }
        }
        if (lower) c = is & LOWER;
        if (LIKELY(c < 0x80)) *to++ = (uint8_t)c;
        else to = write_char(to, c);
    }
    if (to != word) {
        space->word_begins[words] = (uint32_t)(word - space->text);
        space->word_ends[words++] = (uint32_t)(to - space->text);
    }
    space->chars = chars_max - left;
    space->words = words;
    return to;
}

static double logistic(double x) { return 1.0 / (1.0 + exp(-x)); }

/* The last step of a logistic regression: probabilities (rows, classes) of sums (rows, width) and intercepts. */
API void softmax(const double *sums, int64_t rows, int32_t width, int32_t classes, const double *intercepts,
                 double *probabilities) {
    for (; rows; rows--, sums += width, probabilities += classes) {
        double most = -INFINITY, total = 0;
        for (int32_t k = 0; k < classes; k++) {
            probabilities[k] = sums[k] + intercepts[k];
            most = probabilities[k] > most ? probabilities[k] : most;
        }
        for (int32_t k = 0; k < classes; k++) total += probabilities[k] = exp(probabilities[k] - most);
        for (int32_t k = 0; k < classes; k++) probabilities[k] /= total;
    }
}

/* The same of classifiers that were fitted one class against the rest. */
API void one_against_rest(const double *sums, int64_t rows, int32_t width, int32_t classes, const double *intercepts,
                          double *probabilities) {
    for (; rows; rows--, sums += width, probabilities += classes) {
        double total = 0;
        for (int32_t k = 0; k < classes; k++) total += probabilities[k] = logistic(sums[k] + intercepts[k]);
        for (int32_t k = 0; k < classes; k++) probabilities[k] = total == 0 ? 1.0 / classes : probabilities[k] / total;
    }
}

/* A hidden layer: (rows, width) sums to (rows, classes) decisions; weights are (numbers, classes). Not left to a
 * library of linear algebra: its last bits depend on how many rows there are. */
API void hidden(const double *sums, int64_t rows, int32_t width, int32_t numbers, int32_t activation,
                const double *intercepts, const double *weights, int32_t classes, double *decisions) {
    for (; rows; rows--, sums += width, decisions += classes) {
        for (int32_t k = 0; k < classes; k++) decisions[k] = 0;
        for (int32_t j = 0; j < numbers; j++) {
            double value = sums[j] + intercepts[j];
            if (activation == RELU) value = value < 0 ? 0 : value;
            else if (activation == TANH) value = tanh(value);
            else if (activation == LOGISTIC) value = logistic(value);
            for (int32_t k = 0; k < classes; k++) decisions[k] += value * weights[j * classes + k];
        }
    }
}

API int64_t workspace_bytes(void) { return (int64_t)sizeof(Workspace); }
API int64_t kept_bytes(int32_t width) { return WORDS_KEPT * ((int64_t)sizeof(Kept) + 8 * (int64_t)width); }

/* Fill the entries of a vocabulary, which are zeros: n-gram i is written from starts[i] to starts[i + 1]. */
API void fill_entries(Entry *entries, uint32_t slot_mask, const uint8_t *written, const int64_t *starts,
                      const uint32_t *features, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        Entry entry = {.feature = features[i], .at = (uint32_t)starts[i], .bytes = (uint32_t)(starts[i + 1] - starts[i])};
        entry.hash = murmur(written + entry.at, entry.bytes);
        uint32_t slot = entry.hash & slot_mask;
        while (entries[slot].bytes) slot = (slot + 1) & slot_mask;
        entries[slot] = entry;
    }
}

/* How many slots a vectorizer with n-grams of so many sizes may need to count any text; a power of two. */
API int64_t slots_needed(int32_t sizes) {
    int64_t slots = 1024;
    while (slots < 2 * (int64_t)sizes * (2 * CHARS_MAX + 2)) slots *= 2;
    return slots;
}

/* Sum the rows of each text over all vectorizers.
 *
 * lower: 0 as it is; 1 lower-cased here. lowered: the texts are by Python already, and may be longer for it.
 * kept: per vectorizer its remembered words, or null. slots, used: slots_needed of the largest, or null.
 * sums (rows, width); known[i]: whether any feature of the text exists; todo[i]: only Python can lower it, and
 * nothing else is said of it. Returns the number of those. */
API int64_t score_texts(const uint32_t *chars, const Vectorizer *vectorizers, int32_t count, int32_t width,
                        int32_t lower, int32_t lowered, const uint8_t *data, const int64_t *starts, int64_t rows,
                        Workspace *space, void *const *kept, Slot *slots, uint32_t *used, double *sums,
                        uint8_t *known, uint8_t *todo) {
    int64_t left = 0;
    for (int64_t row = 0; row < rows; row++, sums += width) {
        uint8_t *end = put_text(space, chars, lower && !lowered, lowered ? CHARS_MAX : CHARS_READ,
                                data + starts[row], data + starts[row + 1]);
        todo[row] = end == 0;
        known[row] = 0;
        if (!end) {
            left++;
            continue;
        }
        for (int32_t v = 0; v < count; v++) {
            const Vectorizer *of = vectorizers + v;
            Pass pass = {.of = of, .width = width, .queue = space->queue, .sums = space->sums, .slots = slots, .used = used};
            if (!additive(of)) { /* as many slots as this text can fill: they stay near */
                uint64_t most = 2 * (uint64_t)(of->max_n - of->min_n + 1) * (2 * (uint64_t)space->chars + 2);
                uint64_t enough = 1024;
                while (enough < most) enough *= 2;
                pass.slots_mask = (uint32_t)enough - 1;
            }
            memset(space->sums, 0, 8 * (size_t)width);
            if (of->analyzer == ANALYZE_WORD) take_words(&pass, space, chars, space->text, end);
            else if (of->analyzer == ANALYZE_CHAR) take_chars(&pass, space, chars, space->text, end);
            else take_char_wb(&pass, space, kept[v]);
            flush(&pass);
            if (!additive(of)) settle(&pass);
            double scale = of->norm == NORM_NONE ? 1.0 : of->norm == NORM_L2 ? sqrt(pass.size) : pass.size;
            scale = scale == 0.0 ? 1.0 : scale;
            for (int32_t k = 0; k < width; k++) sums[k] += space->sums[k] / scale;
            known[row] |= pass.known != 0;
        }
    }
    return left;
}
