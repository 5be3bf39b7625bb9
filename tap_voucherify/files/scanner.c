/*
 * Reads rows of a CSV file in common formats: a compiled twin of rows.py, cells.py and fields.py,
 * which alone decide about all other rows.
 *
 * A caller (compiled.py) reads a block of the file into memory and calls
 *
 *   scan      to split the block into cells and check them. It stops before the first row that is
 *             incomplete or unusual: one of another width, misplaced quotes, a lone carriage
 *             return, NUL, invalid UTF-8, an empty key, a number with an exponent or many digits,
 *             a time in a rare format. The exact reader takes over from there.
 *   lines     to write rows as lines of JSON,
 *   column    to write one property of all rows, and
 *   extremes  to find the earliest and latest time of a property, and whether its times ascend.
 *
 * Nothing is allocated, and nothing is kept between calls. Only complete rows are accepted, so the
 * other functions can rely on the checks of `scan`. Three rules keep every access in bounds:
 *
 * - `scan` puts PADDING bytes of zero after the block. A zero ends every loop over a cell, and no
 *   look-ahead is longer than the padding.
 * - A cell is copied in steps of STEP bytes, which may read and write beyond its end; the padding
 *   of the block and of the output allows for that.
 * - `scan` counts the bytes that JSON escapes, each of which adds up to five bytes. So the caller
 *   knows the maximum output of `lines`, as only times are written in more than one property; and
 *   a column is never longer than the cells and the fixed lengths of times.
 */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define EXPORT __attribute__((visibility("default")))

enum { STEP = 16, PADDING = 16 };
enum { DATE_LENGTH = 10, SECONDS_LENGTH = 20, TIME_LENGTH = 24 };
enum { MAX_DIGITS = 18, MAX_DECIMALS = 9 };

/* The types of columns, in the order of `KINDS` in layout.py. */
enum kind { TEXT, NUMBER, INTEGER, BOOLEAN, DATE, TIMESTAMP };

/* Where a cell's text is in the block, without the enclosing quotes. */
struct cell {
    uint32_t start;
    uint32_t length : 31;
    uint32_t is_escaped : 1; /* has a byte that JSON escapes, or a doubled quote */
};

/* What a column's cells must be. Text that may be empty needs no check. */
struct check {
    uint32_t position;
    uint32_t kind;
    uint32_t is_key;
};

/* A property of the records; a position is -1 if the file lacks the column. */
struct property {
    const char *name; /* as JSON, with the comma before it and the colon after it */
    uint32_t name_length;
    uint32_t kind;
    int32_t position;
    int32_t fallback; /* the column to read where the first one is empty, or -1 */
};

/* How much of a block was accepted. */
struct progress {
    uint64_t rows;
    uint64_t bytes;
    uint64_t line_ends;
    uint64_t escapes;
};

/* Find the next byte that is not plain text: a quote, comma, backslash, control character, or a
 * byte of a non-ASCII character. */
static const uint8_t *next_special(const uint8_t *at)
{
#if defined(__SSE2__)
    const __m128i space = _mm_set1_epi8(' '), comma = _mm_set1_epi8(',');
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
    for (;; at += STEP) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)at);
        /* The comparison is signed, so non-ASCII bytes are less than a space, too. */
        __m128i special = _mm_or_si128(
            _mm_or_si128(_mm_cmplt_epi8(bytes, space), _mm_cmpeq_epi8(bytes, comma)),
            _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, backslash)));
        int mask = _mm_movemask_epi8(special);
        if (mask)
            return at + __builtin_ctz((unsigned)mask);
    }
#else
    while (*at >= ' ' && *at < 0x80 && *at != ',' && *at != '"' && *at != '\\')
        at++;
    return at;
#endif
}

/* Return the length of a non-ASCII character, or 0 if it is not valid UTF-8. */
static unsigned character_length(const uint8_t *at)
{
    uint8_t first = at[0], second = at[1];
    if (first < 0xC2 || first > 0xF4 || (second & 0xC0) != 0x80)
        return 0;
    if (first < 0xE0)
        return 2;
    if ((at[2] & 0xC0) != 0x80)
        return 0;
    if (first < 0xF0) /* neither overlong nor half of a surrogate pair */
        return (first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ? 0 : 3;
    if ((at[3] & 0xC0) != 0x80)
        return 0;
    return (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F) ? 0 : 4;
}

/* Return the end of a cell's text: its closing quote, or the comma or line end after it. NULL if
 * there is none in the block, or the text is unusual. */
static const uint8_t *end_of_text(const uint8_t *at, int is_quoted, struct progress *progress)
{
    for (;;) {
        at = next_special(at);
        if (*at >= 0x80) {
            unsigned length = character_length(at);
            if (!length)
                return NULL;
            at += length;
        } else if (*at == '"') {
            if (!is_quoted)
                return NULL;
            if (at[1] != '"')
                return at;
            progress->escapes++;
            at += 2;
        } else if (*at == ',') {
            if (!is_quoted)
                return at;
            at++;
        } else if (!*at) {
            return NULL;
        } else {
            if (*at == '\n' || *at == '\r') {
                if (!is_quoted)
                    return at;
                progress->line_ends += *at == '\n';
            }
            progress->escapes++;
            at++;
        }
    }
}

/* Split a row into cells and return its end, or NULL. */
static const uint8_t *split_row(const uint8_t *input, const uint8_t *at, struct cell *cells,
                                uint32_t width, struct progress *progress)
{
    if (*at == '\n' || *at == '\r')
        return NULL; /* an empty line has no cells, not one empty cell */
    for (uint32_t position = 0; position < width; position++) {
        uint64_t escapes = progress->escapes;
        int is_quoted = *at == '"';
        const uint8_t *start = at + is_quoted;
        const uint8_t *end = *at == ',' ? at : end_of_text(start, is_quoted, progress);
        if (!end)
            return NULL;
        cells[position].start = (uint32_t)(start - input);
        cells[position].length = (uint32_t)(end - start) & INT32_MAX;
        cells[position].is_escaped = progress->escapes != escapes;
        at = end + is_quoted;
        if (position + 1 < width && *at++ != ',')
            return NULL;
    }
    at += *at == '\r';
    progress->line_ends++;
    return *at == '\n' ? at + 1 : NULL;
}

static const uint8_t *skip_digits(const uint8_t *at, const uint8_t *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

static int is_number(const uint8_t *at, const uint8_t *end, int is_integer)
{
    at += *at == '-';
    const uint8_t *dot = skip_digits(at, end);
    if (dot == at || dot - at > MAX_DIGITS || (*at == '0' && dot - at > 1))
        return 0;
    if (dot == end)
        return 1;
    return !is_integer && *dot == '.' && end - dot > 1 && end - dot <= MAX_DECIMALS + 1 &&
           skip_digits(dot + 1, end) == end;
}

static int is_boolean(const uint8_t *text, uint32_t length)
{
    const char *word = length == 4 ? "true" : "false";
    if (length != 4 && length != 5)
        return 0;
    for (uint32_t index = 0; index < length; index++)
        if ((text[index] | 0x20) != word[index])
            return 0;
    return 1;
}

static unsigned two_digits(const uint8_t *at)
{
    return (at[0] - '0') * 10u + (at[1] - '0');
}

/* Whether a text is a date, or a time in UTC with seconds or milliseconds. */
static int is_time(const uint8_t *text, uint32_t length)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (length != DATE_LENGTH && length != SECONDS_LENGTH && length != TIME_LENGTH)
        return 0;
    for (uint32_t index = 0; index < length; index++) {
        char expected = length == SECONDS_LENGTH && index == length - 1 ? 'Z' : form[index];
        if (expected == '0' ? text[index] < '0' || text[index] > '9' : text[index] != expected)
            return 0;
    }
    unsigned year = two_digits(text) * 100 + two_digits(text + 2);
    unsigned month = two_digits(text + 5), day = two_digits(text + 8);
    if (!year || month < 1 || month > 12)
        return 0;
    unsigned is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day < 1 || day > days[month - 1] + (month == 2 ? is_leap : 0))
        return 0;
    return length == DATE_LENGTH ||
           (two_digits(text + 11) < 24 && two_digits(text + 14) < 60 && two_digits(text + 17) < 60);
}

static int is_usual(const uint8_t *text, struct cell cell, const struct check *check)
{
    if (!cell.length)
        return !check->is_key;
    switch (check->kind) {
    case TEXT:
        return 1;
    case NUMBER:
    case INTEGER:
        return is_number(text, text + cell.length, check->kind == INTEGER);
    case BOOLEAN:
        return is_boolean(text, cell.length);
    default:
        return is_time(text, cell.length);
    }
}

/* Split a block into rows of `width` cells, up to the first unusual or incomplete one. */
EXPORT void scan(uint8_t *input, uint32_t length, const struct check *checks, uint32_t check_count,
                 struct cell *cells, uint32_t width, uint32_t max_rows, struct progress *progress)
{
    struct progress next = {0, 0, 0, 0};
    memset(input + length, 0, PADDING);
    *progress = next;
    while (next.rows < max_rows) {
        const uint8_t *end = split_row(input, input + next.bytes, cells, width, &next);
        if (!end)
            return;
        for (uint32_t index = 0; index < check_count; index++) {
            struct cell cell = cells[checks[index].position];
            if (!is_usual(input + cell.start, cell, &checks[index]))
                return;
        }
        cells += width;
        next.rows++;
        next.bytes = (uint64_t)(end - input);
        *progress = next;
    }
}

static uint8_t *put(uint8_t *out, const void *text, size_t length)
{
    const uint8_t *from = text;
    for (size_t done = 0; done < length; done += STEP)
        memcpy(out + done, from + done, STEP);
    return out + length;
}

/* Write text with doubled quotes as single ones. */
static uint8_t *put_unescaped(uint8_t *out, const uint8_t *at, const uint8_t *end)
{
    for (; at < end; at += 1 + (*at == '"'))
        *out++ = *at;
    return out;
}

/* Write text as the contents of a JSON string. */
static uint8_t *put_escaped(uint8_t *out, const uint8_t *at, const uint8_t *end)
{
    static const char digits[] = "0123456789abcdef", named[] = "btn\0fr";
    while (at < end) {
        uint8_t byte = *at++;
        if (byte >= ' ' && byte != '"' && byte != '\\') {
            *out++ = byte;
            continue;
        }
        *out++ = '\\';
        if (byte >= ' ') {
            *out++ = byte;
            at += byte == '"';
        } else if (byte >= '\b' && byte <= '\r' && byte != '\v') {
            *out++ = (uint8_t)named[byte - '\b'];
        } else {
            out = (uint8_t *)memcpy(out, "u00", 3) + 3;
            *out++ = (uint8_t)digits[byte >> 4];
            *out++ = (uint8_t)digits[byte & 15];
        }
    }
    return out;
}

/* Write a time in bookmark format. */
static uint8_t *put_time(uint8_t *out, const uint8_t *text, uint32_t length)
{
    uint32_t given = length == SECONDS_LENGTH ? SECONDS_LENGTH - 1 : length;
    memcpy(out, "0000-00-00T00:00:00.000Z", TIME_LENGTH);
    memcpy(out, text, given);
    return out + TIME_LENGTH;
}

/* Return the cell of a property in a row; it is empty if the file lacks the column. */
static struct cell cell_of(const struct cell *row, const struct property *property)
{
    struct cell cell = {0, 0, 0};
    if (property->position >= 0)
        cell = row[property->position];
    if (!cell.length && property->fallback >= 0)
        cell = row[property->fallback];
    return cell;
}

/* Write a value that is not empty, without the quotes of JSON. */
static uint8_t *put_value(uint8_t *out, const uint8_t *text, uint32_t length, uint32_t kind)
{
    switch (kind) {
    case BOOLEAN:
        return put(out, length == 4 ? "true            " : "false           ", length);
    case DATE:
        return put(out, text, DATE_LENGTH);
    case TIMESTAMP:
        return put_time(out, text, length);
    default:
        return put(out, text, length);
    }
}

/* Write a value as JSON. */
static uint8_t *put_json(uint8_t *out, const uint8_t *input, struct cell cell, uint32_t kind)
{
    const uint8_t *text = input + cell.start;
    if (!cell.length)
        return (uint8_t *)memcpy(out, "null", 4) + 4;
    if (kind == NUMBER || kind == INTEGER || kind == BOOLEAN)
        return put_value(out, text, cell.length, kind);
    *out++ = '"';
    out = cell.is_escaped ? put_escaped(out, text, text + cell.length)
                          : put_value(out, text, cell.length, kind);
    *out++ = '"';
    return out;
}

/* Write rows as lines of JSON, each between a prefix and a suffix, and return their length.
 *
 * All `properties` are written. If `members` is not NULL, an object `metadata` follows, of those
 * members that have a value. */
EXPORT uint64_t lines(const uint8_t *input, const struct cell *cells, uint32_t width, uint32_t rows,
                      const struct property *properties, uint32_t count,
                      const struct property *members, uint32_t member_count, const char *prefix,
                      uint32_t prefix_length, const char *suffix, uint32_t suffix_length,
                      uint8_t *output)
{
    uint8_t *out = output;
    for (const struct cell *row = cells; row < cells + (size_t)rows * width; row += width) {
        out = (uint8_t *)memcpy(out, prefix, prefix_length) + prefix_length;
        uint8_t *start = out;
        for (uint32_t index = 0; index < count; index++) {
            out = put(out, properties[index].name, properties[index].name_length);
            out = put_json(out, input, cell_of(row, &properties[index]), properties[index].kind);
        }
        if (members) {
            out = (uint8_t *)memcpy(out, ",\"metadata\":", 12) + 12;
            uint8_t *object = out;
            for (uint32_t index = 0; index < member_count; index++) {
                struct cell cell = cell_of(row, &members[index]);
                if (cell.length) {
                    out = put(out, members[index].name, members[index].name_length);
                    out = put_json(out, input, cell, TEXT);
                }
            }
            out += out == object; /* without a member there is no comma to replace */
            *object = '{';
            *out++ = '}';
        }
        *start = '{'; /* in place of the comma before the first property */
        *out++ = '}';
        out = (uint8_t *)memcpy(out, suffix, suffix_length) + suffix_length;
        *out++ = '\n';
    }
    return (uint64_t)(out - output);
}

/* Write one property of all rows as a column of text: a 0 and the end of each value in `offsets`,
 * a bit for each row with a value in `validity`. `output` can hold the block and a time per row. */
EXPORT void column(const uint8_t *input, const struct cell *cells, uint32_t width, uint32_t rows,
                   const struct property *property, uint8_t *output, int32_t *offsets,
                   uint8_t *validity)
{
    uint8_t *out = output;
    memset(validity, 0, (rows + 7) / 8);
    offsets[0] = 0;
    for (uint32_t row = 0; row < rows; row++) {
        struct cell cell = cell_of(cells + (size_t)row * width, property);
        const uint8_t *text = input + cell.start;
        if (cell.length) {
            validity[row / 8] |= (uint8_t)(1 << row % 8);
            out = cell.is_escaped ? put_unescaped(out, text, text + cell.length)
                                  : put_value(out, text, cell.length, property->kind);
        }
        offsets[row + 1] = (int32_t)(out - output);
    }
}

/* Find the earliest and latest time of a property, and whether its times ascend; return how many
 * there are. */
EXPORT uint32_t extremes(const uint8_t *input, const struct cell *cells, uint32_t width,
                         uint32_t rows, const struct property *property, uint8_t *least,
                         uint8_t *greatest, int32_t *is_ascending)
{
    uint32_t count = 0;
    uint8_t last[TIME_LENGTH], time[TIME_LENGTH];
    *is_ascending = 1;
    for (uint32_t row = 0; row < rows; row++) {
        struct cell cell = cell_of(cells + (size_t)row * width, property);
        if (!cell.length)
            continue;
        put_time(time, input + cell.start, cell.length);
        if (!count++) {
            memcpy(least, time, TIME_LENGTH);
            memcpy(greatest, time, TIME_LENGTH);
        } else if (memcmp(time, last, TIME_LENGTH) < 0) {
            *is_ascending = 0;
            if (memcmp(time, least, TIME_LENGTH) < 0)
                memcpy(least, time, TIME_LENGTH);
        } else if (memcmp(time, greatest, TIME_LENGTH) > 0) {
            memcpy(greatest, time, TIME_LENGTH);
        }
        memcpy(last, time, TIME_LENGTH);
    }
    return count;
}
