/* N-grams to rows: hash them, queue them, then sum their rows or count them first. */
#ifndef FEATURES_H
#define FEATURES_H

#include <math.h>
#include <string.h>

#include "chars.h"
#include "types.h"

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

#endif
