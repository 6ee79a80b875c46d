/* The AUTON kernel's message format, for programs in C: see specs/kernel_interface.md.
 *
 * A frame is a header of 48 bytes and up to 4096 bytes of payload. Numbers are little-endian, and structures are laid
 * out as a C compiler does on x86_64: what is declared here can be written to a socket and read from it as it is. On
 * a machine with another layout the assertions at the end do not compile. */

#ifndef AUTON_IPC_H
#define AUTON_IPC_H

#include <stddef.h>
#include <stdint.h>

#define AUTON_MAGIC 0x49504321u
#define AUTON_MAX_PAYLOAD 4096u
#define AUTON_TEXT_BYTES 3840u
#define AUTON_RESPONSE_BYTES 2048u
#define AUTON_ACTION_BYTES 1024u

enum auton_type {
    AUTON_RAW = 0x0000,
    AUTON_TEXT = 0x0001,
    AUTON_ACK = 0x0002,
    AUTON_ERROR = 0x0003,
    AUTON_SLM_COMMAND = 0x0100,
    AUTON_SLM_RESULT = 0x0101,
    AUTON_SLM_QUERY = 0x0102,
    AUTON_SLM_EVENT = 0x0103,
    AUTON_DEV_DISCOVERED = 0x0200,
    AUTON_DEV_REMOVED = 0x0201,
    AUTON_DEV_STATUS = 0x0202,
    AUTON_DRV_LOAD = 0x0300,
    AUTON_DRV_UNLOAD = 0x0301,
    AUTON_DRV_STATUS = 0x0302,
    AUTON_SYS_LOG = 0x0400,
    AUTON_SYS_STATS = 0x0401,
    AUTON_SYS_ALERT = 0x0402,
    AUTON_NET_CONFIG = 0x0500,
    AUTON_NET_STATUS = 0x0501,
    AUTON_PKG_REQUEST = 0x0600,
    AUTON_PKG_STATUS = 0x0601
};

enum auton_flag { AUTON_URGENT = 1, AUTON_REPLY_REQ = 2, AUTON_BROADCAST = 4, AUTON_SLM_CHAN = 8 };

enum auton_error {
    AUTON_OK = 0,
    AUTON_FULL = -1,
    AUTON_EMPTY = -2,
    AUTON_BAD_PID = -3,
    AUTON_TOO_LONG = -4,
    AUTON_NO_CHANNEL = -5,
    AUTON_CLOSED = -6,
    AUTON_MAX_CHAN = -7,
    AUTON_INVALID = -8
};

enum auton_intent {
    AUTON_HARDWARE_IDENTIFY = 0,
    AUTON_DRIVER_SELECT = 1,
    AUTON_INSTALL_CONFIGURE = 2,
    AUTON_APP_INSTALL = 3,
    AUTON_SYSTEM_MANAGE = 4,
    AUTON_TROUBLESHOOT = 5
};

/* The high byte is the intent. */
enum auton_sub_command {
    AUTON_IDENTIFY_PCI = 0x0000,
    AUTON_IDENTIFY_PLATFORM = 0x0001,
    AUTON_IDENTIFY_USB = 0x0002,
    AUTON_DRV_SELECT = 0x0100,
    AUTON_DRV_CONFIGURE = 0x0101,
    AUTON_DRV_FALLBACK = 0x0102,
    AUTON_PARTITION_DISK = 0x0200,
    AUTON_FORMAT_FS = 0x0201,
    AUTON_MOUNT_FS = 0x0202,
    AUTON_NETWORK_CONFIG = 0x0203,
    AUTON_HOSTNAME_SET = 0x0204,
    AUTON_PKG_SEARCH = 0x0300,
    AUTON_PKG_INSTALL = 0x0301,
    AUTON_PKG_REMOVE = 0x0302,
    AUTON_PKG_UPDATE = 0x0303,
    AUTON_SVC_START = 0x0400,
    AUTON_SVC_STOP = 0x0401,
    AUTON_SVC_STATUS = 0x0402,
    AUTON_RESOURCE_QUERY = 0x0403,
    AUTON_LOG_QUERY = 0x0404,
    AUTON_DIAG_NETWORK = 0x0500,
    AUTON_DIAG_STORAGE = 0x0501,
    AUTON_DIAG_MEMORY = 0x0502,
    AUTON_DIAG_GENERAL = 0x0503
};

struct auton_header {
    uint32_t magic;
    uint32_t type;
    uint64_t sender;
    uint64_t receiver; /* 0 for everybody */
    uint64_t timestamp; /* scheduler ticks */
    uint32_t length; /* of the payload, in bytes */
    uint32_t sequence;
    uint32_t flags;
    uint32_t padding; /* zero when sent, ignored when received */
};

/* The payload of AUTON_SLM_COMMAND. */
struct auton_command {
    uint32_t intent;
    uint32_t sub_command;
    char args[AUTON_TEXT_BYTES]; /* UTF-8 */
    uint32_t args_len;
};

/* The payload of AUTON_SLM_RESULT; data is JSON with the fields of auton_answer, and source and confidence. */
struct auton_result {
    uint32_t intent;
    int32_t status; /* 0 is good, negative an auton_error */
    char data[AUTON_TEXT_BYTES]; /* UTF-8 */
    uint32_t data_len;
};

/* The payload of AUTON_ERROR begins so; a reason in UTF-8 fills the rest of the payload. */
struct auton_error_head {
    int32_t code;
};

/* What the kernel keeps of an answer. It does not travel as it is: it is what an auton_result's data says. */
struct auton_answer {
    uint32_t intent;
    int32_t status;
    char response[AUTON_RESPONSE_BYTES];
    uint32_t response_len;
    char action_data[AUTON_ACTION_BYTES];
    uint32_t action_data_len;
    int32_t requires_followup;
};

_Static_assert(sizeof(struct auton_header) == 48, "a header has 48 bytes");
_Static_assert(sizeof(struct auton_command) == 3852, "a command has 3852 bytes");
_Static_assert(sizeof(struct auton_result) == 3852, "a result has 3852 bytes");
_Static_assert(sizeof(struct auton_answer) == 3092, "an answer has 3092 bytes");
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "numbers are little-endian"
#endif

#endif
