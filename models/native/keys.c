/* The three keys of the horizon, a batch at a time: XXH64 of what is written down in docs/design.md#text-key.
 *
 * `scratch` of every function has room for four times the bytes of the longest row, and 32 more; its caller
 * made it. Nothing is allocated here.
 */
#include <string.h>

#include "chars.h"

static const uint64_t P1 = 0x9E3779B185EBCA87u, P2 = 0xC2B2AE3D27D4EB4Fu, P3 = 0x165667B19E3779F9u,
                      P4 = 0x85EBCA77C2B2AE63u, P5 = 0x27D4EB2F165667C5u;

static inline uint64_t rotl(uint64_t x, int r) { return x << r | x >> (64 - r); }

static inline uint64_t read_le(const uint8_t *p, int bytes) {
    uint64_t x = 0;
    for (int i = 0; i < bytes; i++) x |= (uint64_t)p[i] << (8 * i);
    return x;
}

static inline uint64_t xxh_round(uint64_t acc, uint64_t in) { return rotl(acc + in * P2, 31) * P1; }

static inline uint64_t merge(uint64_t h, uint64_t v) { return (h ^ xxh_round(0, v)) * P1 + P4; }

/* XXH64 with seed 0, as https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md says. */
static uint64_t xxh64(const uint8_t *p, const uint8_t *end) {
    uint64_t length = (uint64_t)(end - p), h = P5;
    if (length >= 32) {
        uint64_t a = P1 + P2, b = P2, c = 0, d = 0 - P1;
        for (; end - p >= 32; p += 32) {
            a = xxh_round(a, read_le(p, 8));
            b = xxh_round(b, read_le(p + 8, 8));
            c = xxh_round(c, read_le(p + 16, 8));
            d = xxh_round(d, read_le(p + 24, 8));
        }
        h = rotl(a, 1) + rotl(b, 7) + rotl(c, 12) + rotl(d, 18);
        h = merge(merge(merge(merge(h, a), b), c), d);
    }
    h += length;
    for (; end - p >= 8; p += 8) h = rotl(h ^ xxh_round(0, read_le(p, 8)), 27) * P1 + P4;
    for (; end - p >= 4; p += 4) h = rotl(h ^ read_le(p, 4) * P1, 23) * P2 + P3;
    for (; p < end; p++) h = rotl(h ^ *p * P5, 11) * P1;
    h = (h ^ h >> 33) * P2;
    h = (h ^ h >> 29) * P3;
    return h ^ h >> 32;
}

static uint8_t *put(uint8_t *to, Texts texts, int64_t i) {
    size_t bytes = (size_t)(texts.starts[i + 1] - texts.starts[i]);
    if (bytes) memcpy(to, texts.data + texts.starts[i], bytes);
    return to + bytes;
}

/* Its number of characters in decimal, NUL, and the brand. */
static uint8_t *put_measured(uint8_t *to, Texts texts, int64_t i) {
    uint8_t digits[20];
    uint64_t chars = 0;
    int n = 0;
    for (int64_t at = texts.starts[i]; at < texts.starts[i + 1]; at++) chars += (texts.data[at] & 0xC0) != 0x80;
    do digits[n++] = (uint8_t)('0' + chars % 10);
    while (chars /= 10);
    while (n) *to++ = digits[--n];
    *to++ = 0;
    return put(to, texts, i);
}

API int64_t kernel_abi(void) { return 2; }

/* Keys of posts: network, NUL, length of the brand, NUL, brand, id. */
API void post_keys(const uint8_t *network, const int64_t *networks, const uint8_t *brand, const int64_t *brands,
                   const uint8_t *id, const int64_t *ids, int64_t rows, uint8_t *scratch, uint64_t *keys) {
    for (int64_t i = 0; i < rows; i++) {
        uint8_t *to = put(scratch, (Texts){network, networks}, i);
        *to++ = 0;
        to = put_measured(to, (Texts){brand, brands}, i);
        keys[i] = xxh64(scratch, put(to, (Texts){id, ids}, i));
    }
}

/* Keys of authors: length of the brand, NUL, brand, author. */
API void author_keys(const uint8_t *brand, const int64_t *brands, const uint8_t *author, const int64_t *authors,
                     int64_t rows, uint8_t *scratch, uint64_t *keys) {
    for (int64_t i = 0; i < rows; i++) {
        uint8_t *to = put_measured(scratch, (Texts){brand, brands}, i);
        keys[i] = xxh64(scratch, put(to, (Texts){author, authors}, i));
    }
}

static int kept(const uint8_t *word, const uint8_t *end) {
    if (*word == '@') return 0;
    if (end - word == 2 && word[0] == 'r' && word[1] == 't') return 0;
    return end - word < 4 || memcmp(word, "http", 4) != 0;
}

/* Write the kept words of a text, one blank between two; 0 if only Python can lower its case. */
static uint8_t *put_words(const uint32_t *chars, int lowered, const uint8_t *at, const uint8_t *end, uint8_t *to) {
    uint8_t *begin = to, *word = to;
    for (;;) {
        uint32_t c = 0, is = SPACE;
        if (LIKELY(at < end)) {
            c = *at < 0x80 ? *at++ : read_char(&at, end);
            is = chars[c];
        } else if (to == word) {
            break;
        }
        if (UNLIKELY(is & SPACE)) {
            if (to != word) {
                to = kept(word, to) ? to : word;
                if (to != word) *to++ = ' ';
                word = to;
            }
            continue;
        }
        if (!lowered) {
            if (UNLIKELY(is & SPECIAL)) return 0;
            c = is & LOWER;
        }
        if (LIKELY(c < 0x80)) *to++ = (uint8_t)c;
        else to = write_char(to, c);
    }
    return to == begin ? to : to - 1;
}

/* Text keys, version 1: brand, NUL, and the lower-cased words but `rt`, http… and @…, one blank between two.
 * A row whose case only Python can lower gets todo[i] = 1 and no key. Returns the number of those. */
API int64_t text_keys(const uint32_t *chars, int lowered, const uint8_t *brand, const int64_t *brands,
                      const uint8_t *text, const int64_t *texts, int64_t rows, uint8_t *scratch, uint64_t *keys,
                      uint8_t *todo) {
    int64_t left = 0;
    for (int64_t i = 0; i < rows; i++) {
        uint8_t *to = put(scratch, (Texts){brand, brands}, i);
        *to++ = 0;
        to = put_words(chars, lowered, text + texts[i], text + texts[i + 1], to);
        todo[i] = to == 0;
        left += to == 0;
        keys[i] = to ? xxh64(scratch, to) : 0;
    }
    return left;
}
