//! What it takes to tell somebody that a guess is wrong, to have its instructions counted: `tests/gates` runs this under callgrind.
//!
//! `guess_work SECRET GUESS` makes the guess a hundred times. Guesses are as long as the secret, and right from the beginning
//! for none, half, or all but one of its bytes: if one of them takes longer than another, a secret can be found byte by byte.
//! Only what happens inside [`measured`] counts.

use std::hint::black_box;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, header};
use tokio::runtime::Builder;
use tokio::time::Instant;
use websockify::access::{Access, Caller, Settings, basic};
use websockify::socket::Peer;
use websockify::target::source::service::Secret;
use websockify::target::source::table::Table;
use websockify::target::token::Token;

const REPETITIONS: usize = 100;

const SECRET: &str = "correct-horse-battery-staple-correct-horse-battery-staple-0123456";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let [secret, guess] = words.as_slice() else { return ExitCode::FAILURE };
    let right = match *guess {
        "wrong-at-once" => 0,
        "half-right" => SECRET.len() / 2,
        "all-but-right" => SECRET.len() - 1,
        _ => return ExitCode::FAILURE,
    };
    let guess = SECRET[..right].to_owned() + &"~".repeat(SECRET.len() - right);
    match *secret {
        "token" => token(&guess),
        "password" => password(&guess),
        "compared" => compared(&guess),
        _ => return ExitCode::FAILURE,
    }
    ExitCode::SUCCESS
}

/// Callgrind collects from the entry of this function to its end.
#[inline(never)]
fn measured(work: impl FnOnce()) {
    work();
}

/// In a token file.
fn token(guess: &str) {
    let (table, wrong) = Table::read(&format!("{SECRET}: 127.0.0.1:5900\nanother: 127.0.0.1:5901\n"));
    assert!(wrong.is_empty() && table.len() == 2);
    let places = ["query".parse().expect("a place")];
    for _ in 0..REPETITIONS {
        let request = Request::builder().uri(format!("/websockify?token={guess}")).body(()).expect("a request");
        measured(|| {
            let token = Token::of(black_box(&request), &places).expect("there is a token");
            assert!(table.get(&token).is_none());
        });
    }
}

/// Of a user, as it is sent in a request.
fn password(guess: &str) {
    let users = basic::Settings::One { name: "jane".to_owned(), password: Secret(SECRET.to_owned()) };
    let settings = Settings { users: Some(users), ..Settings::default() };
    let (access, _) = Access::open(&settings, usize::MAX).expect("it names no file");
    let shown = STANDARD.encode(format!("jane:{guess}"));
    let request = Request::builder().header(header::AUTHORIZATION, format!("Basic {shown}")).body(());
    let request = request.expect("a request");
    // Of a client that has no address nobody counts how often it was wrong: what is measured is the judgement alone.
    let caller = Caller { peer: Peer::Unix, is_encrypted: false, identity: None };
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let deadline = Instant::now() + Duration::from_hours(1);
    runtime.block_on(async {
        for _ in 0..REPETITIONS {
            let mut asked = Box::pin(access.admit(&request, &caller, deadline));
            let mut context = Context::from_waker(Waker::noop());
            measured(|| {
                let answer = black_box(&mut asked).as_mut().poll(&mut context);
                assert!(matches!(answer, Poll::Ready(Err(_))));
            });
        }
    });
}

/// What is not done, and what the gate has to see: byte by byte, until one is wrong.
fn compared(guess: &str) {
    for _ in 0..REPETITIONS {
        measured(|| {
            let right = black_box(SECRET).bytes();
            assert!(!right.zip(black_box(guess).bytes()).all(|(one, other)| one == other));
        });
    }
}
