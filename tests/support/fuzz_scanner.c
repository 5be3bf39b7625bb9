/*
 * A libFuzzer target: whatever a block contains, the compiled code stays within its caller's
 * memory, which here is not a byte larger than what compiled.py and layout.py allocate.
 */

#include "../../tap_voucherify/files/scanner.c"

#include <stdlib.h>

enum { MAX_WIDTH = 12, MAX_ROWS = 64, ESCAPE_LENGTH = 5, NAME_LENGTH = 6 };

/* A name, followed by padding. */
static const char NAME[NAME_LENGTH + PADDING] = ",\"\xC3\xA9\":";
static const char FRAME[] = "{\"a\":\"b\"";

static void use(uint8_t *input, const struct cell *cells, uint32_t width,
                const struct progress *progress, const struct property *properties,
                uint32_t count, uint32_t member_count)
{
    uint32_t rows = (uint32_t)progress->rows, frame = (uint32_t)strlen(FRAME);
    size_t row_bytes = (size_t)(count + member_count) * (NAME_LENGTH + 2 + TIME_LENGTH) +
                       strlen(",\"metadata\":{}{}\n") + 2 * frame;
    size_t size = progress->bytes + ESCAPE_LENGTH * progress->escapes + rows * row_bytes;
    uint8_t *output = malloc(size + PADDING);
    uint64_t written = lines(input, cells, width, rows, properties, count, properties + count,
                             member_count, FRAME, frame, FRAME, frame, output);
    if (written > size)
        abort();
    free(output);

    output = malloc(progress->bytes + (size_t)rows * TIME_LENGTH + PADDING);
    int32_t *offsets = malloc((rows + 1) * sizeof *offsets);
    uint8_t *validity = malloc(rows / 8 + 1);
    uint8_t least[TIME_LENGTH], greatest[TIME_LENGTH];
    for (uint32_t index = 0; index < count + member_count; index++) {
        int32_t is_ascending;
        column(input, cells, width, rows, &properties[index], output, offsets, validity);
        if (properties[index].kind >= DATE)
            extremes(input, cells, width, rows, &properties[index], least, greatest,
                     &is_ascending);
    }
    free(validity);
    free(offsets);
    free(output);
}

/* Try a block of a file; the first two bytes choose the number of columns and their types.
 * The last columns are metadata; one property falls back to another, and one has no column. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    if (length < 2)
        return 0;
    uint32_t width = 1 + data[0] % MAX_WIDTH, member_count = width / 3, shift = data[1];
    struct check checks[MAX_WIDTH];
    struct property properties[MAX_WIDTH + 1] = {{NAME, NAME_LENGTH, TEXT, -1, -1}};
    for (uint32_t position = 0; position < width; position++) {
        uint32_t kind = (position + shift) % (TIMESTAMP + 1);
        if (position >= width - member_count)
            kind = TEXT;
        checks[position] = (struct check){position, kind, position == shift >> 4};
        properties[position + 1] =
            (struct property){NAME, NAME_LENGTH, kind, (int32_t)position, -1};
        if (kind == TIMESTAMP && position > TIMESTAMP)
            properties[position + 1].fallback = (int32_t)position - (TIMESTAMP + 1);
    }

    uint32_t size = (uint32_t)length - 2;
    uint8_t *input = malloc(size + PADDING);
    memcpy(input, data + 2, size);
    struct cell *cells = malloc((size_t)width * MAX_ROWS * sizeof *cells);
    struct progress progress;
    scan(input, size, checks, width, cells, width, MAX_ROWS, &progress);
    if (progress.rows > MAX_ROWS || progress.bytes > size)
        abort();
    use(input, cells, width, &progress, properties, width + 1 - member_count, member_count);
    free(cells);
    free(input);
    return 0;
}
