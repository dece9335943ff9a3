//! Threads that bind at once.

use crate::support::{compiled, preloaded, run};

#[test]
fn many_threads_bind_at_once_while_another_changes_the_environment() {
    alone!();
    let said = run(preloaded(compiled("threads"), "5901=43211").arg("5901"));
    assert_eq!(said, "8000 right, 0 wrong\n");
}
