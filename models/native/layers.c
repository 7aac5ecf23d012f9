/* What stands behind the sums: probabilities of a linear layer, and a hidden layer before it. */
#include <math.h>

#include "chars.h"
#include "types.h"

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
