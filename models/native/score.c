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
#include "features.h"
#include "types.h"
#include "words.h"

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
