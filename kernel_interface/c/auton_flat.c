/* Answer lines with a flat model file, as the AUTON kernel does inside itself (specs/export.md has the format):
 *
 *     auton_flat [--ids] MODEL.flat LINE     answer one line
 *     auton_flat [--ids] MODEL.flat          answer each line of the standard input, one answer a line
 *
 * With --ids the numbers of the tokens are printed instead of the answer: those read, "->", and those answered.
 * The file may come from anywhere: nothing in it is believed before it is checked. Exit status: 0 when every line is
 * answered, 1 when the file is refused or something fails, 2 for a wrong command line.
 *
 * Build: cc -std=c11 -O2 -Wall -Wextra -Werror -o auton_flat auton_flat.c -lm */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers in the file are little-endian"
#endif

#define MAGIC 0x4E4F5455u
#define HEADER_BYTES 40u
#define MAX_LAYERS 16u
#define MAX_VOCAB 32000u
#define MAX_TOKEN_BYTES 255u
#define MAX_WINDOW 256u
/* 12 MiB less 0.2 MiB. */
#define MAX_WORKING_MEMORY 12373196u
/* Of a token before its bytes: a score, which nothing here needs, and a length. */
#define TOKEN_HEAD 8u

#define PROMPT_TOKENS 64u
#define ANSWER_TOKENS 12u

#define NORM_EPS 1e-6f
#define ROPE_THETA 10000.0

enum special { PAD = 0, UNK = 1, BOS = 2, EOS = 3, SPECIALS = 4 };
static const char *const special_texts[SPECIALS] = {"<pad>", "<unk>", "<bos>", "<eos>"};

struct layer {
    const float *attention_norm, *query, *key, *value, *output;
    const float *ffn_norm, *gate, *down, *up;
    float *keys, *values; /* the cache, [window, kv_dim] */
};

struct token {
    const char *text; /* not ended by a NUL */
    uint32_t length;
};

struct model {
    uint32_t dim, hidden, layers, heads, kv_heads, vocab;
    uint32_t window, head_dim, kv_dim;
    uint64_t parameters;
    unsigned char *file; /* but for its header */
    size_t size;
    const float *embedding, *final_norm;
    struct layer layer[MAX_LAYERS];
    struct token *tokens;
    float *memory; /* the block that holds the caches and what follows */
    float *stream, *normed, *attended, *queries, *gated, *raised, *scores, *logits;
    float *cosines, *sines; /* [window, head_dim / 2] */
};

static int refuse(const char *path, uint64_t at, const char *what)
{
    fprintf(stderr, "error: %s is no flat model file: at byte %llu, %s\n", path, (unsigned long long)at, what);
    return -1;
}

static int exceeds(const char *path, const char *what, uint64_t found, const char *allowed)
{
    fprintf(stderr, "error: %s breaks a limit: %s is %llu; %s\n", path, what, (unsigned long long)found, allowed);
    return -1;
}

/* Read exactly size bytes; -1 with errno set when they do not come. */
static int read_all(int file, void *into, size_t size)
{
    char *at = into;
    while (size > 0) {
        ssize_t got = read(file, at, size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            errno = EIO; /* it was longer when it was measured */
        if (got <= 0)
            return -1;
        at += got;
        size -= (size_t)got;
    }
    return 0;
}

/* Hold the header against the kernel's limits and the file's size. What is multiplied here is small enough
 * for 64 bits: the limit of the working memory, which is checked first, keeps every width below 2^22. */
static int read_header(struct model *model, const char *path, const uint32_t *head)
{
    uint64_t memory, layer, least, most;

    if (head[0] != MAGIC)
        return refuse(path, 0, "the magic number is another");
    if (head[1] != 1)
        return refuse(path, 4, "the version is not 1");
    if (head[9] != 0)
        return refuse(path, 36, "quant is not 0 (fp32)");
    for (unsigned i = 2; i < 9; i++)
        if (head[i] == 0)
            return refuse(path, 4 * i, "a size is zero");
    model->dim = head[2];
    model->hidden = head[3];
    model->layers = head[4];
    model->heads = head[5];
    model->kv_heads = head[6];
    model->vocab = head[7];
    model->window = head[8] < MAX_WINDOW ? head[8] : MAX_WINDOW;
    if (model->layers > MAX_LAYERS)
        return exceeds(path, "layers", model->layers, "at most 16 are allowed");
    if (model->vocab > MAX_VOCAB || model->vocab < SPECIALS)
        return exceeds(path, "vocab", model->vocab, "from 4 to 32000 tokens are allowed");
    if (model->heads % model->kv_heads != 0)
        return exceeds(path, "heads", model->heads, "a multiple of kv_heads is needed");
    if (model->dim % model->heads != 0)
        return exceeds(path, "dim", model->dim, "a multiple of heads is needed");
    model->head_dim = model->dim / model->heads;
    model->kv_dim = model->head_dim * model->kv_heads; /* at most dim */
    if (model->head_dim % 2 != 0)
        return exceeds(path, "head_dim", model->head_dim, "an even number is needed");
    memory = (uint64_t)8 * model->layers * model->window * model->kv_dim
             + 4 * ((uint64_t)4 * model->dim + (uint64_t)2 * model->hidden + model->window + model->vocab);
    if (memory > MAX_WORKING_MEMORY)
        return exceeds(path, "the working memory", memory, "at most 12373196 bytes are allowed");

    layer = (uint64_t)2 * model->dim
            + (uint64_t)model->dim * (2 * (uint64_t)model->dim + 2 * (uint64_t)model->kv_dim
                                      + 3 * (uint64_t)model->hidden);
    model->parameters = (uint64_t)model->vocab * model->dim + model->layers * layer + model->dim;
    least = HEADER_BYTES + 4 * model->parameters + 4 + (uint64_t)model->vocab * TOKEN_HEAD;
    most = least + (uint64_t)model->vocab * MAX_TOKEN_BYTES;
    if (model->size < least)
        return refuse(path, model->size, "the file ends before all of its shape is there");
    if (model->size > most)
        return refuse(path, most, "the file goes on, and no file of its shape is so long");
    return 0;
}

/* Read a regular file into memory, all of it once its header is found sound; -1 with what is wrong told. */
static int load(struct model *model, const char *path)
{
    struct stat status;
    uint32_t head[HEADER_BYTES / 4];
    int file = open(path, O_RDONLY | O_NONBLOCK); /* nobody may ever write to a pipe of that name */
    int result = -1;

    if (file < 0 || fstat(file, &status) < 0)
        goto failed;
    model->size = (uint64_t)status.st_size;
    if (!S_ISREG(status.st_mode)) {
        fprintf(stderr, "error: %s is no file\n", path);
        goto done;
    }
    if (model->size < HEADER_BYTES) {
        refuse(path, model->size, "the file ends inside its header");
        goto done;
    }
    if (read_all(file, head, HEADER_BYTES) < 0)
        goto failed;
    if (read_header(model, path, head) < 0)
        goto done;
    model->file = malloc(model->size);
    if (model->file == NULL || read_all(file, model->file + HEADER_BYTES, model->size - HEADER_BYTES) < 0)
        goto failed;
    result = 0;
    goto done;

failed:
    fprintf(stderr, "error: %s cannot be read: %s\n", path, strerror(errno));
done:
    if (file >= 0)
        close(file);
    return result;
}

/* Point every tensor at its place in the file, which read_header has found long enough; the end of the last is put into
 * *end. malloc aligns the file's beginning for any type, and everything before the tokens is whole floats. */
static int place_weights(struct model *model, const char *path, const unsigned char **end)
{
    const float *first = (const float *)(const void *)(model->file + HEADER_BYTES), *at = first;
    size_t dim = model->dim, hidden = model->hidden, kv_dim = model->kv_dim;

#define TAKE(tensor, count) (model->tensor = at, at += (count))
    TAKE(embedding, model->vocab * dim);
    for (uint32_t i = 0; i < model->layers; i++) {
        TAKE(layer[i].attention_norm, dim);
        TAKE(layer[i].query, dim * dim);
        TAKE(layer[i].key, kv_dim * dim);
        TAKE(layer[i].value, kv_dim * dim);
        TAKE(layer[i].output, dim * dim);
        TAKE(layer[i].ffn_norm, dim);
        TAKE(layer[i].gate, hidden * dim);
        TAKE(layer[i].down, dim * hidden);
        TAKE(layer[i].up, hidden * dim);
    }
    TAKE(final_norm, dim);
#undef TAKE
    for (uint64_t i = 0; i < model->parameters; i++)
        if (!isfinite(first[i]))
            return refuse(path, HEADER_BYTES + 4 * i, "a weight is not finite");
    *end = (const unsigned char *)at;
    return 0;
}

static int read_tokens(struct model *model, const char *path, const unsigned char *at)
{
    const unsigned char *end = model->file + model->size, *start = at;
    uint32_t longest, found = 0;

    model->tokens = calloc(model->vocab, sizeof *model->tokens);
    if (model->tokens == NULL) {
        fprintf(stderr, "error: %s cannot be read: %s\n", path, strerror(errno));
        return -1;
    }
    memcpy(&longest, at, 4); /* there, as every token's head: read_header has counted them */
    at += 4;
    for (uint32_t i = 0; i < model->vocab; i++) {
        uint32_t length;
        if ((size_t)(end - at) < TOKEN_HEAD)
            return refuse(path, model->size, "the file ends before its last token");
        memcpy(&length, at + 4, 4);
        if (length > MAX_TOKEN_BYTES)
            return refuse(path, (uint64_t)(at + 4 - model->file), "a token has more than 255 bytes");
        at += TOKEN_HEAD;
        if ((size_t)(end - at) < length)
            return refuse(path, model->size, "the file ends inside a token");
        if (memchr(at, 0, length) != NULL)
            return refuse(path, (uint64_t)(at - model->file), "a token holds a NUL");
        if (i < SPECIALS && (length != strlen(special_texts[i]) || memcmp(at, special_texts[i], length) != 0))
            return refuse(path, (uint64_t)(at - model->file), "the first tokens are not <pad> <unk> <bos> <eos>");
        model->tokens[i].text = (const char *)at;
        model->tokens[i].length = length;
        found = length > found ? length : found;
        at += length;
    }
    if (at != end)
        return refuse(path, (uint64_t)(at - model->file), "something follows the last token");
    if (longest != found)
        return refuse(path, (uint64_t)(start - model->file), "the longest token has another length");
    return 0;
}

/* Make the working memory and the table of rotations; all of it is within the kernel's own limit, but for the table. */
static int prepare(struct model *model)
{
    size_t half = model->head_dim / 2, cache = (size_t)model->window * model->kv_dim;
    size_t floats = 2 * cache * model->layers + 4 * (size_t)model->dim + 2 * (size_t)model->hidden + model->window
                    + model->vocab + 2 * half * model->window;
    float *at = model->memory = calloc(floats, sizeof *at);

    if (at == NULL) {
        fprintf(stderr, "error: no memory for the model: %s\n", strerror(errno));
        return -1;
    }
#define TAKE(array, count) (model->array = at, at += (count))
    for (uint32_t i = 0; i < model->layers; i++) {
        TAKE(layer[i].keys, cache);
        TAKE(layer[i].values, cache);
    }
    TAKE(stream, model->dim);
    TAKE(normed, model->dim);
    TAKE(attended, model->dim);
    TAKE(queries, model->dim);
    TAKE(gated, model->hidden);
    TAKE(raised, model->hidden);
    TAKE(scores, model->window);
    TAKE(logits, model->vocab);
    TAKE(cosines, half * model->window);
    TAKE(sines, half * model->window);
#undef TAKE
    for (size_t position = 0; position < model->window; position++)
        for (size_t i = 0; i < half; i++) {
            double angle = (double)position * pow(ROPE_THETA, -2.0 * (double)i / model->head_dim);
            model->cosines[position * half + i] = (float)cos(angle);
            model->sines[position * half + i] = (float)sin(angle);
        }
    return 0;
}

static int open_model(struct model *model, const char *path)
{
    const unsigned char *tokens;

    memset(model, 0, sizeof *model);
    if (load(model, path) < 0 || place_weights(model, path, &tokens) < 0 || read_tokens(model, path, tokens) < 0)
        return -1;
    return prepare(model);
}

static void close_model(struct model *model)
{
    free(model->memory);
    free(model->tokens);
    free(model->file);
}

/* out[rows] = matrix[rows, columns] · in[columns]. Four sums run side by side, which a processor does at once. */
static void multiply(float *out, const float *matrix, const float *in, size_t rows, size_t columns)
{
    for (size_t row = 0; row < rows; row++, matrix += columns) {
        float sums[4] = {0, 0, 0, 0};
        size_t i = 0;
        for (; i + 4 <= columns; i += 4)
            for (size_t lane = 0; lane < 4; lane++)
                sums[lane] += matrix[i + lane] * in[i + lane];
        for (; i < columns; i++)
            sums[0] += matrix[i] * in[i];
        out[row] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
}

static void add_to(float *sum, const float *more, size_t count)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += more[i];
}

static void rms_norm(float *out, const float *in, const float *weight, size_t count)
{
    float squares = 0, scale;
    for (size_t i = 0; i < count; i++)
        squares += in[i] * in[i];
    scale = 1.0f / sqrtf(squares / (float)count + NORM_EPS);
    for (size_t i = 0; i < count; i++)
        out[i] = weight[i] * (in[i] * scale);
}

/* Turn each head's dimension i together with i + head_dim / 2 by the position's angle. */
static void rotate(const struct model *model, float *heads, uint32_t count, uint32_t position)
{
    size_t half = model->head_dim / 2;
    const float *cosines = model->cosines + position * half, *sines = model->sines + position * half;

    for (uint32_t head = 0; head < count; head++, heads += model->head_dim)
        for (size_t i = 0; i < half; i++) {
            float low = heads[i], high = heads[i + half];
            heads[i] = low * cosines[i] - high * sines[i];
            heads[i + half] = high * cosines[i] + low * sines[i];
        }
}

/* Let each query head look at the positions up to this one; the result is in attended. */
static void attend(struct model *model, const struct layer *layer, uint32_t position)
{
    size_t width = model->head_dim;
    float scale = 1.0f / sqrtf((float)width);

    memset(model->attended, 0, model->dim * sizeof *model->attended);
    for (uint32_t head = 0; head < model->heads; head++) {
        size_t shared = head / (model->heads / model->kv_heads) * width;
        const float *query = model->queries + head * width;
        float *attended = model->attended + head * width;
        float most = -INFINITY, total = 0;

        for (uint32_t at = 0; at <= position; at++) {
            multiply(&model->scores[at], layer->keys + (size_t)at * model->kv_dim + shared, query, 1, width);
            model->scores[at] *= scale;
            most = fmaxf(most, model->scores[at]);
        }
        for (uint32_t at = 0; at <= position; at++) {
            model->scores[at] = expf(model->scores[at] - most);
            total += model->scores[at];
        }
        for (uint32_t at = 0; at <= position; at++) {
            const float *value = layer->values + (size_t)at * model->kv_dim + shared;
            float share = model->scores[at] / total;
            for (size_t i = 0; i < width; i++)
                attended[i] += share * value[i];
        }
    }
}

/* Run one token at one position, below the window; its keys and values stay in the cache. */
static void forward(struct model *model, uint32_t token, uint32_t position)
{
    size_t dim = model->dim, hidden = model->hidden, kv_dim = model->kv_dim;

    memcpy(model->stream, model->embedding + token * dim, dim * sizeof *model->stream);
    for (uint32_t i = 0; i < model->layers; i++) {
        const struct layer *layer = &model->layer[i];
        float *key = layer->keys + position * kv_dim, *value = layer->values + position * kv_dim;

        rms_norm(model->normed, model->stream, layer->attention_norm, dim);
        multiply(model->queries, layer->query, model->normed, dim, dim);
        multiply(key, layer->key, model->normed, kv_dim, dim);
        multiply(value, layer->value, model->normed, kv_dim, dim);
        rotate(model, model->queries, model->heads, position);
        rotate(model, key, model->kv_heads, position);
        attend(model, layer, position);
        multiply(model->normed, layer->output, model->attended, dim, dim);
        add_to(model->stream, model->normed, dim);

        rms_norm(model->normed, model->stream, layer->ffn_norm, dim);
        multiply(model->gated, layer->gate, model->normed, hidden, dim);
        multiply(model->raised, layer->up, model->normed, hidden, dim);
        for (size_t k = 0; k < hidden; k++)
            model->gated[k] *= model->raised[k] / (1.0f + expf(-model->gated[k]));
        multiply(model->normed, layer->down, model->gated, dim, hidden);
        add_to(model->stream, model->normed, dim);
    }
}

/* The likeliest token after the last one that ran, the lowest of equals; -1 when the numbers have overflowed. */
static int64_t likeliest(struct model *model)
{
    uint32_t best = 0;

    rms_norm(model->normed, model->stream, model->final_norm, model->dim);
    multiply(model->logits, model->embedding, model->normed, model->vocab, model->dim);
    for (uint32_t i = 0; i < model->vocab; i++) {
        if (!isfinite(model->logits[i]))
            return -1;
        if (model->logits[i] > model->logits[best])
            best = i;
    }
    return best;
}

/* The id of a word that is a whole token, byte for byte; the lowest, should two be alike. */
static uint32_t look_up(const struct model *model, const char *word, size_t length)
{
    for (uint32_t i = 0; i < model->vocab; i++)
        if (model->tokens[i].length == length && memcmp(model->tokens[i].text, word, length) == 0)
            return i;
    return UNK;
}

/* Look the words of a line up, the first 64; words are what stands between spaces, however many. */
static uint32_t split(const struct model *model, const char *line, size_t length, uint32_t *ids)
{
    const char *end = line + length;
    uint32_t count = 0;

    while (line < end && count < PROMPT_TOKENS) {
        const char *space = memchr(line, ' ', (size_t)(end - line));
        const char *stop = space ? space : end;
        if (stop > line)
            ids[count++] = look_up(model, line, (size_t)(stop - line));
        line = stop < end ? stop + 1 : end;
    }
    return count;
}

/* Answer one line; -1 with what is wrong told. Like the kernel, nothing is said to a line without words, and the last
 * position of the window is never used. */
static int answer(struct model *model, const char *line, size_t length, int as_ids)
{
    uint32_t prompt[PROMPT_TOKENS], reply[ANSWER_TOKENS], said = 0;
    uint32_t position = 0, count = split(model, line, length, prompt);
    size_t written = 0; /* an empty token at the beginning is joined by no space */

    if (count > model->window - 1)
        count = model->window - 1;
    while (position < count) {
        forward(model, prompt[position], position);
        position++;
    }
    while (count > 0 && said < ANSWER_TOKENS && position < model->window - 1) {
        int64_t next = likeliest(model);
        if (next < 0) {
            fprintf(stderr, "error: the model computes something that is no number\n");
            return -1;
        }
        if (next == PAD || next == EOS)
            break;
        reply[said++] = (uint32_t)next;
        if (said < ANSWER_TOKENS)
            forward(model, (uint32_t)next, position++);
    }
    if (as_ids) {
        for (uint32_t i = 0; i < count; i++)
            printf("%u ", (unsigned)prompt[i]);
        printf("->");
        for (uint32_t i = 0; i < said; i++)
            printf(" %u", (unsigned)reply[i]);
    } else {
        for (uint32_t i = 0; i < said; i++) {
            if (written > 0)
                putchar(' ');
            written += fwrite(model->tokens[reply[i]].text, 1, model->tokens[reply[i]].length, stdout);
        }
    }
    putchar('\n');
    if (fflush(stdout) == EOF) {
        fprintf(stderr, "error: the answer cannot be written: %s\n", strerror(errno));
        return -1;
    }
    return 0;
}

/* Answer every line of the standard input; a line ends with LF, CR LF or the input's end. */
static int answer_all(struct model *model, int as_ids)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    int failed = 0;

    while (!failed && (length = getline(&line, &room, stdin)) >= 0) {
        if (length > 0 && line[length - 1] == '\n')
            length--;
        if (length > 0 && line[length - 1] == '\r')
            length--;
        failed = answer(model, line, (size_t)length, as_ids) < 0;
    }
    if (!failed && ferror(stdin)) {
        fprintf(stderr, "error: the standard input cannot be read: %s\n", strerror(errno));
        failed = 1;
    }
    free(line);
    return failed ? -1 : 0;
}

int main(int argc, char **argv)
{
    struct model model;
    int as_ids = argc > 1 && strcmp(argv[1], "--ids") == 0, failed;
    char **rest = argv + 1 + as_ids;
    int count = argc - 1 - as_ids;

    if (count < 1 || count > 2 || (rest[0][0] == '-' && rest[0][1] == '-')) {
        fprintf(stderr, "usage: auton_flat [--ids] MODEL.flat [LINE]\n");
        return 2;
    }
    failed = open_model(&model, rest[0]) < 0;
    if (!failed && count == 2)
        failed = answer(&model, rest[1], strlen(rest[1]), as_ids) < 0;
    else if (!failed)
        failed = answer_all(&model, as_ids) < 0;
    close_model(&model);
    return failed;
}
