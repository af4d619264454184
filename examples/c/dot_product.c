/* A small convolution on the CPU: every edge multiplies the vectors of its sender by its own direction, with a weight a channel,
 * and adds the results to its receiver. Compile with find_package(flashtp) or `cc dot_product.c $(pkg-config --cflags --libs
 * flashtp) -lm`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <flashtp/flashtp.h>

static const char *const layer =
    "{\"irreps_in1\": \"2x1o\", \"irreps_in2\": \"1o\", \"irreps_out\": \"2x0e\","
    " \"instructions\": [[0, 0, 0, \"uvu\", true]]}";

enum { nodes = 3, edges = 4, channels = 2 };

static void check(flashtp_status status, const char *what) {
    if (status == FLASHTP_OK) return;
    fprintf(stderr, "%s: %s: %s\n", what, flashtp_status_string(status), flashtp_last_message());
    exit(1);
}

/* Edges in no particular order; kernels want them grouped by receiver. */
static const int32_t sender[edges] = {0, 1, 2, 0}, receiver[edges] = {2, 0, 2, 1};

static flashtp_graph build_graph(int32_t *row_ptr, int32_t *index_sender, int32_t *index_edge) {
    const flashtp_edges list = {.size = sizeof list, .edges = edges, .senders = nodes, .receivers = nodes,
                                .sender = sender, .receiver = receiver, .index_bits = 32};
    int32_t sorted;
    check(flashtp_build_receiver_index(&list, row_ptr, index_sender, index_edge, &sorted), "receiver index");

    const flashtp_graph graph = {.size = sizeof graph, .edges = edges, .senders = nodes, .receivers = nodes,
                                 .row_ptr = row_ptr, .sender = index_sender, .edge = sorted ? NULL : index_edge};
    return graph;
}

/* What the layer means, written out: the coupling of two vectors to a scalar is their dot product over sqrt(3). */
static float expected(const float *x, const float *y, const float *w, int node, int channel) {
    float sum = 0;
    for (int e = 0; e < edges; ++e) {
        if (receiver[e] != node) continue;
        for (int m = 0; m < 3; ++m) {
            sum += w[channels * e + channel] * x[3 * (channels * sender[e] + channel) + m] * y[3 * e + m];
        }
    }
    return sum / sqrtf(3);
}

int main(void) {
    flashtp_engine *engine;
    flashtp_program *program;
    check(flashtp_engine_create(NULL, &engine), "engine");
    const flashtp_request request = {.size = sizeof request, .problem = layer, .order = 0, .target = "cpu"};
    check(flashtp_compile(engine, &request, &program), "compile");

    float x[nodes * channels * 3], y[edges * 3], w[edges * channels], z[nodes * channels];
    for (int i = 0; i < nodes * channels * 3; ++i) x[i] = sinf((float)i);
    for (int i = 0; i < edges * 3; ++i) y[i] = cosf((float)i);
    for (int i = 0; i < edges * channels; ++i) w[i] = 0.5f + (float)i;

    int32_t row_ptr[nodes + 1], index_sender[edges], index_edge[edges];
    const flashtp_graph graph = build_graph(row_ptr, index_sender, index_edge);
    void *const operands[] = {x, y, w, z}; /* the order flashtp_program_operand tells */
    check(flashtp_run_cpu(program, operands, 4, &graph, 0), "run");

    int wrong = 0;
    for (int node = 0; node < nodes; ++node) {
        for (int channel = 0; channel < channels; ++channel) {
            const float found = z[channels * node + channel], right = expected(x, y, w, node, channel);
            printf("z[%d][%d] = %9.6f\n", node, channel, found);
            wrong += !(fabsf(found - right) < 1e-5f);
        }
    }
    flashtp_program_destroy(program);
    flashtp_engine_destroy(engine);
    if (wrong) fprintf(stderr, "%d values are wrong\n", wrong);
    return wrong != 0;
}
