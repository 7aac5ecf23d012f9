/* What this Python knows of every code point, and UTF-8 without surprises.
 *
 * `chars` has one word per code point, 0 to 0x10FFFF: the code point it becomes in lower case, and flags.
 * The texts are UTF-8 that Arrow made of Python strings, and so valid; the reader of it stays within the
 * text all the same.
 */
#ifndef CHARS_H
#define CHARS_H

#include <stddef.h>
#include <stdint.h>

#define LOWER 0x1FFFFFu    /* the code point in lower case */
#define WORD (1u << 21)    /* \w of Python's re */
#define SPACE (1u << 22)   /* what str.split() splits at */
#define SPECIAL (1u << 23) /* its lower case is longer, or depends on what is around it */

#if defined(_WIN32)
#define API __declspec(dllexport)
#else
#define API __attribute__((visibility("default")))
#endif
#define LIKELY(it) __builtin_expect(!!(it), 1)
#define UNLIKELY(it) __builtin_expect(!!(it), 0)

/* An Arrow array of large strings: text i is data[starts[i]] to before data[starts[i + 1]]. */
typedef struct {
    const uint8_t *data;
    const int64_t *starts;
} Texts;

/* Read the code point at `at`, before `end`, and step over it. */
static inline uint32_t read_char(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    uint32_t c = *p++;
    int more = c < 0xC0 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    if (more) c &= 0x3Fu >> more;
    for (; more && p < end; more--) c = c << 6 | (*p++ & 0x3Fu);
    *at = p;
    return c <= 0x10FFFF ? c : 0xFFFD;
}

/* Write a code point of up to 21 bits as 1 to 4 bytes; return where the next one goes. */
static inline uint8_t *write_char(uint8_t *to, uint32_t c) {
    if (c < 0x80) {
        *to++ = (uint8_t)c;
    } else if (c < 0x800) {
        *to++ = (uint8_t)(0xC0 | c >> 6);
        *to++ = (uint8_t)(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
        *to++ = (uint8_t)(0xE0 | c >> 12);
        *to++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        *to++ = (uint8_t)(0x80 | (c & 0x3F));
    } else {
        *to++ = (uint8_t)(0xF0 | c >> 18);
        *to++ = (uint8_t)(0x80 | (c >> 12 & 0x3F));
        *to++ = (uint8_t)(0x80 | (c >> 6 & 0x3F));
        *to++ = (uint8_t)(0x80 | (c & 0x3F));
    }
    return to;
}

#endif
