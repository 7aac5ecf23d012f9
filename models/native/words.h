/* Texts to n-grams: lower case, tokens, characters, and words whose sums are remembered. */
#ifndef WORDS_H
#define WORDS_H

#include <string.h>

#include "chars.h"
#include "features.h"
#include "types.h"

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

#endif
