//! What a program on Linux and x86-64 needs when nothing is linked to it: a start, two system calls,
//! the memory functions that compilers call, and a panic handler.

use core::arch::{asm, global_asm};

global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "call {start}",
    "ud2",
    start = sym crate::start,
);

// The compiler makes calls of these; a system would bring them along.
global_asm!(
    ".globl memcpy",
    "memcpy:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    ".globl memmove",
    "memmove:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx",
    "jb 2f",
    "rep movsb",
    "ret",
    "2:",
    "lea rdi, [rdi + rdx - 1]",
    "lea rsi, [rsi + rdx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    ".globl memset",
    "memset:",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    ".globl memcmp",
    ".globl bcmp",
    "memcmp:",
    "bcmp:",
    "mov rcx, rdx",
    "xor eax, eax",
    "repe cmpsb",
    "je 3f",
    "movzx eax, byte ptr [rdi - 1]",
    "movzx ecx, byte ptr [rsi - 1]",
    "sub eax, ecx",
    "3:",
    "ret",
);

/// Reads standard input to its end, or until the buffer is full; returns how much that is.
pub(crate) fn read(buffer: &mut [u8]) -> usize {
    let mut len = 0_usize;
    while let Some(free) = buffer.get_mut(len..).filter(|free| !free.is_empty()) {
        // SAFETY: read(2) writes at most `free.len()` bytes to `free`, which is borrowed mutably.
        let got = unsafe { call(0, 0, free.as_mut_ptr() as usize, free.len()) };
        if got <= 0 {
            break;
        }
        len = len.saturating_add(got as usize);
    }
    len
}

/// Writes to standard output.
pub(crate) fn write(mut bytes: &[u8]) {
    while !bytes.is_empty() {
        // SAFETY: write(2) only reads `bytes`, which is borrowed.
        let put = unsafe { call(1, 1, bytes.as_ptr() as usize, bytes.len()) };
        if put <= 0 {
            exit(2);
        }
        bytes = bytes.get(put as usize..).unwrap_or_default();
    }
}

pub(crate) fn exit(status: usize) -> ! {
    // SAFETY: exit(2) takes a number and does not return.
    unsafe { call(60, status, 0, 0) };
    loop {
        core::hint::spin_loop();
    }
}

/// # Safety
///
/// As of the system call.
unsafe fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result: isize;
    // SAFETY: these are the registers of the calling convention; the kernel changes rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

#[cfg(not(feature = "aborting"))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    unsafe extern "C" {
        /// Defined nowhere: whatever can come here does not link.
        safe fn a_panic_path_survives() -> !;
    }
    a_panic_path_survives()
}

#[cfg(feature = "aborting")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(3)
}
