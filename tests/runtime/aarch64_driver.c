/* Runs one kernel on memory from a file and writes the memory back: FILE holds the number of rows and, for every argument, its
 * size in bytes (-1: null) and its bytes. Compiled with KERNEL as the kernel's name. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

extern void KERNEL(void *const *buffers, int64_t row_begin, int64_t row_end);

enum { most_arguments = 64 };

static int64_t number(FILE *file) {
    int64_t value = 0;
    if (fread(&value, sizeof value, 1, file) != 1) exit(2);
    return value;
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    FILE *file = fopen(arguments[1], "rb");
    if (!file) return 2;
    const int64_t rows = number(file), buffers = number(file);
    void *memory[most_arguments] = {NULL};
    int64_t sizes[most_arguments];
    for (int64_t i = 0; i < buffers; ++i) {
        sizes[i] = number(file);
        if (sizes[i] < 0) continue;
        memory[i] = malloc((size_t)sizes[i]);
        if (fread(memory[i], 1, (size_t)sizes[i], file) != (size_t)sizes[i]) return 2;
    }
    fclose(file);
    KERNEL(memory, 0, rows);
    file = fopen(arguments[1], "wb");
    for (int64_t i = 0; i < buffers; ++i)
        if (sizes[i] > 0) fwrite(memory[i], 1, (size_t)sizes[i], file);
    return fclose(file) ? 2 : 0;
}
