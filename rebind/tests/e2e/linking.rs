//! What the library brings into a program, and which programs it does not reach.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::{Program, compiled_by, greeting, library, listeners, preloaded, run};

/// All that it calls. None of these allocates, but `dlsym` when it fails.
const IMPORTS: [&str; 8] =
    ["__errno_location", "dlsym", "getenv", "getsockopt", "memcpy", "setsockopt", "strlen", "write"];

#[test]
fn it_has_two_functions_and_calls_only_what_cannot_allocate_or_panic() {
    let symbols = run(Command::new("nm").args(["--dynamic", "--without-symbol-versions"]).arg(library()));
    let of = |kind: &str| -> BTreeSet<&str> {
        let fields = symbols.lines().map(|line| line.split_whitespace().rev().collect::<Vec<_>>());
        fields.filter(|fields| fields[1] == kind).map(|fields| fields[0]).collect()
    };
    assert_eq!(of("T"), BTreeSet::from(["bind", "getsockname"]));
    assert_eq!(of("U"), IMPORTS.into());
    // Of the rest, which the C compiler's start files want if it is there, nothing is its own.
    assert_eq!(
        of("w"),
        BTreeSet::from([
            "_ITM_deregisterTMCloneTable",
            "_ITM_registerTMCloneTable",
            "__cxa_finalize",
            "__gmon_start__"
        ])
    );
    let all = run(Command::new("nm").arg("--demangle").arg(library()));
    for word in ["panic", "alloc", "unwind", "fmt", "std::"] {
        assert!(!all.contains(word), "{word} in:\n{all}");
    }
}

#[test]
fn it_needs_the_c_library_alone_and_has_no_memory_of_its_own_in_threads() {
    let headers = run(Command::new("readelf").args(["--wide", "--dynamic", "--program-headers"]).arg(library()));
    let needed: Vec<&str> = headers.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(needed.len() == 1 && needed[0].contains("[libc.so.6]"), "{needed:?}");
    assert!(!headers.contains(" TLS "), "{headers}");
    assert!(headers.contains("GNU_RELRO"), "{headers}");
}

#[test]
fn a_program_of_another_c_library_is_moved_as_well() {
    alone!();
    let mut command = preloaded(compiled_by("musl-gcc", "listen", &[]), "5901=43211");
    let (_program, told) = Program::until(command.args(["5901", "0.0.0.0", "only:::"]), "ready");
    assert_eq!(told, ["127.0.0.1 5901", "::1 5901"]);
    assert_eq!(listeners(), ["127.0.0.1:43211", "[::1]:43211"]);
    assert_eq!(greeting("127.0.0.1:43211"), "127.0.0.1 5901\n");
}

#[test]
fn a_program_is_not_moved_that_is_static_or_goes_around_the_c_library() {
    alone!();
    let around = "import ctypes, socket, struct, sys
it = socket.socket()
address = struct.pack('=H', socket.AF_INET) + struct.pack('!H', 5901) + bytes(12)
number = {'x86_64': 49, 'aarch64': 200, 'riscv64': 200}[__import__('platform').machine()]
assert ctypes.CDLL(None).syscall(number, it.fileno(), address, len(address)) == 0
it.listen()
print('ready', flush=True)
sys.stdin.read()";
    let mut python = preloaded("python3", "5901=43211");
    python.args(["-c", around]);
    let mut still = preloaded(compiled_by("cc", "listen", &["-static"]), "5901=43211");
    still.args(["5901", "0.0.0.0"]);
    for mut command in [python, still] {
        let (_program, _) = Program::until(&mut command, "ready");
        assert_eq!(listeners(), ["0.0.0.0:5901"], "{command:?}");
    }
}
