/* A kernel that does nothing but stand in for AUTON at the serial console: it finds its Multiboot2 module, says so in
 * AUTON's words, prompts, echoes, and answers every line with figures of the module. "reboot" resets the machine.
 *
 *     gcc -m32 -std=c11 -O1 -ffreestanding -fno-pic -fno-stack-protector -nostdlib -static -Wl,--build-id=none
 *         -T link.ld -o kernel boot.S kernel.c */

#include <stdint.h>

#define BOOT_MAGIC 0x36d76289u
#define MODEL_MAGIC 0x4e4f5455u
#define COM1 0x3f8
#define LINE_BYTES 255

struct tag {
    uint32_t type, size;
    uint32_t module_start, module_end; /* of tags of type MODULE */
};
enum { END = 0, MODULE = 3 };

enum { DIM = 2, LAYERS = 4, VOCAB = 7, QUANT = 9, HEADER_BYTES = 40 };

static void out(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static uint8_t in(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void put(char byte)
{
    while (!(in(COM1 + 5) & 0x20)) /* until the transmitter is empty */
        ;
    out(COM1, (uint8_t)byte);
}

static void print(const char *text)
{
    for (; *text; text++) {
        if (*text == '\n')
            put('\r');
        put(*text);
    }
}

static void print_number(uint32_t number)
{
    char digits[11];
    int at = 10;

    digits[at] = 0;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    print(digits + at);
}

static char get(void)
{
    while (!(in(COM1 + 5) & 1)) /* until a byte has come */
        ;
    return (char)in(COM1);
}

/* Find the first module; 0 when there is none that begins as a model does. */
static const uint32_t *find_model(const uint8_t *info, uint32_t *bytes)
{
    const struct tag *tag = (const void *)(info + 8);

    while (tag->type != END) {
        if (tag->type == MODULE) {
            const uint32_t *model = (const void *)tag->module_start;
            *bytes = tag->module_end - tag->module_start;
            return *bytes >= HEADER_BYTES && model[0] == MODEL_MAGIC && model[1] == 1 && model[QUANT] == 0 ? model : 0;
        }
        tag = (const void *)((const uint8_t *)tag + ((tag->size + 7) & ~7u));
    }
    return 0;
}

static void read_line(char *line)
{
    unsigned length = 0;

    for (;;) {
        char byte = get();
        if (byte == '\r' || byte == '\n')
            break;
        put(byte);
        if (length < LINE_BYTES)
            line[length++] = byte;
    }
    line[length] = 0;
    print("\n");
}

static int is(const char *line, const char *word)
{
    while (*line && *line == *word)
        line++, word++;
    return *line == *word;
}

/* No interrupt table and an interrupt: the processor gives up and resets. */
static void reboot(void)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) none = {0, 0};
    __asm__ volatile("lidt %0; int3" : : "m"(none));
}

static void answer(const uint32_t *model, uint32_t bytes, const char *line)
{
    uint32_t sum = 0, words = 0;

    for (; *line; line++)
        words += *line != ' ' && (line[1] == ' ' || !line[1]);
    if (!model) {
        print("no model\n");
        return;
    }
    for (uint32_t i = 0; i < bytes; i++)
        sum += ((const uint8_t *)model)[i];
    print("dim ");
    print_number(model[DIM]);
    print(", layers ");
    print_number(model[LAYERS]);
    print(", vocab ");
    print_number(model[VOCAB]);
    print(", bytes ");
    print_number(bytes);
    print(", sum ");
    print_number(sum);
    print(", words ");
    print_number(words);
    print("\n");
}

void run(uint32_t magic, const uint8_t *info);

void run(uint32_t magic, const uint8_t *info)
{
    char line[LINE_BYTES + 1];
    uint32_t bytes = 0;
    const uint32_t *model;

    out(COM1 + 1, 0);    /* no interrupts */
    out(COM1 + 3, 0x80); /* the divisor: */
    out(COM1, 1);        /* 115 200 baud */
    out(COM1 + 1, 0);
    out(COM1 + 3, 3); /* 8 data bits, no parity, 1 stop bit */
    out(COM1 + 2, 7); /* empty queues */
    print("stand-in kernel\n");
    model = magic == BOOT_MAGIC ? find_model(info, &bytes) : 0;
    if (model)
        print("[SLM] Loaded model: stand-in\n");
    print(model ? "[SLM] Backend: neural\n" : "[SLM] Backend: rules\n");
    for (;;) {
        print("auton> ");
        read_line(line);
        if (is(line, "reboot"))
            reboot();
        answer(model, bytes, line);
    }
}
