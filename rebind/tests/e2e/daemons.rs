//! Programs that leave everything behind that they were started with.

use crate::support::{compiled, eventually_listening, greeting, open_at, preloaded, run};

#[test]
fn a_daemon_that_forks_twice_and_clears_its_environment_is_moved() {
    alone!();
    run(preloaded(compiled("daemon"), "5901=43211").arg("5901"));
    eventually_listening(&["[::ffff:127.0.0.1]:43211"]);
    assert_eq!(open_at(5901), [""; 0]);
    assert_eq!(greeting("127.0.0.1:43211"), "port 5901\n");
}
