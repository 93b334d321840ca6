//! A mapped file that is made shorter, or a disk that fails under it, faults when it is read: said, and ended as any error.

/// What is said; nothing may be put together inside a signal handler.
const SAID: &[u8] = b"\nerror: a file was made shorter while it was read, or its disk failed\n  cause: bus error on a \
memory-mapped file\n\nhint: what was sealed is whole; when the files are, the same command goes on\n";

/// From now on, a bus error ends the process with a word about it and exit code 1.
#[expect(unsafe_code, reason = "a signal handler is")]
pub fn explain_bus_errors() {
    let handler = |_: &_| {
        // SAFETY: both calls are async-signal-safe, and nothing is allocated or locked.
        unsafe {
            libc::write(2, SAID.as_ptr().cast(), SAID.len());
            libc::_exit(1)
        }
    };
    // SAFETY: the handler does nothing but the above. It does not return, so the faulting read is not tried again.
    // Without it the process ends as well, with less said.
    let _ = unsafe { signal_hook_registry::register_sigaction(libc::SIGBUS, handler) };
}
