/* The Multiboot2 header, and the way from GRUB, which enters 32-bit code with paging off, to run() in C. */

        .section .multiboot, "a"
        .balign 8
header: .long   0xe85250d6              /* magic */
        .long   0                       /* i386, protected mode */
        .long   header_end - header
        .long   0x100000000 - (0xe85250d6 + (header_end - header))
        .word   0, 0                    /* no tag follows */
        .long   8
header_end:

        .text
        .globl  _start
_start: movl    $stack_top, %esp
        pushl   %ebx                    /* where the boot information is */
        pushl   %eax                    /* who made it */
        call    run
halt:   hlt
        jmp     halt

        .bss
        .balign 16
        .skip   16384
stack_top:

        .section .note.GNU-stack, "", @progbits
