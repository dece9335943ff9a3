//! A program that ends at once, started a thousand times by a clock that does not wait. Alone in its process, for it buries all
//! children that there are.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{Instant, advance};
use websockify::program::place::Standing;
use websockify::program::settings::{Role, Supervision};
use websockify::program::{Children, Command, Descriptors, OnExit, Program, Settings, Supervisor};

const STARTS: usize = 1000;

fn open_files() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Those of this process that live or are still to be buried.
fn children() -> usize {
    let parent = format!(" {} ", std::process::id());
    let stats =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok());
    stats.filter(|stat| stat.rsplit_once(") ").is_some_and(|(_, rest)| rest[1..].starts_with(&parent))).count()
}

#[tokio::test(start_paused = true)]
async fn a_thousand_quick_respawns_keep_the_originals_pace_and_leave_nothing() {
    let settings = Settings {
        command: Command::new(vec!["true".into()]).unwrap(),
        role: Role::Service { port: None, on_exit: OnExit::Respawn },
        supervision: Supervision::Child,
        user: None,
        group: None,
        working_directory: None,
        environment: BTreeMap::new(),
    };
    let run = async {
        let began = Instant::now();
        let children_of_this = Children::new().unwrap();
        let program = Program::prepare(settings, Descriptors::of_this_process()).unwrap();
        let mut standing = program.place().watch();
        let mut supervisor = Supervisor::start(program, "test", &children_of_this).unwrap();
        let (mut seconds, mut files) = (Vec::new(), None);
        let watching = async {
            while seconds.len() < STARTS {
                if *standing.borrow_and_update() == Standing::Running {
                    seconds.push(began.elapsed().as_secs());
                    advance(Duration::from_millis(1)).await; // a quick life
                    if seconds.len() == 10 {
                        files = Some(open_files());
                    }
                }
                standing.changed().await.unwrap();
            }
        };
        tokio::select! {
            ended = supervisor.over() => panic!("it is over: {ended:?}"),
            () = watching => {}
        }
        supervisor.stop(std::future::pending()).await;
        assert_eq!(seconds[..8], [0, 1, 2, 11, 15, 20, 26, 31], "what the original was measured to do");
        assert!(seconds[STARTS - 1] > 5 * (STARTS as u64 - 10), "and on at that pace: {}", seconds[STARTS - 1]);
        // The last one's pipes may still be read.
        assert!(open_files() <= files.unwrap() + 4, "{} after {files:?}", open_files());
        children_of_this.end_all("true", std::future::pending()).await;
    };
    LocalSet::new().run_until(run).await;
    assert_eq!(children(), 0);
}
