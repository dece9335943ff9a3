//! The loop, between two faulty streams, on a clock that runs only when nothing else can: what never comes shows as a
//! deadline passed, at once.

use std::cell::Cell;
use std::future::{Future, pending};
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::Mutex;
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::time::{Instant, sleep, timeout};
use websockify::relay::drive::drive;
use websockify::relay::end::{Cause, End};
use websockify::relay::tunnel::{Settings, Tunnel};
use websockify::websocket::close::CloseCode;
use websockify::websocket::codec::{HEADROOM, Payload, Protocol, TextFrames};

use super::frames::{
    BINARY, Last, Script, client_close, client_frame, closes_with, closing, deliverable, script_that_breaks_a_rule,
    script_that_closes, script_that_only_talks, target_bytes, target_bytes_in,
};
use super::stream::{Pace, Say, Stream, pace};
use super::world::{ENDING_MAX, QUIET};

const READ_BYTES: usize = 64 * 1024;
const HOUR: Duration = Duration::from_hours(1);
const SECOND: Duration = Duration::from_secs(1);

/// Runs on one thread, on a virtual clock.
fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// Drives a session to its end, within a virtual hour, and polls each time with a waker of its own: only the last of
/// them counts, as the contract of `Future` says.
async fn drive_to_end(
    client: &Stream,
    target: &Stream,
    settings: Settings,
    early: &[u8],
    stop: impl Future<Output = Cause>,
) -> End {
    let tunnel = Tunnel::new(Instant::now().into_std(), settings);
    let early = Bytes::copy_from_slice(early);
    let session = drive(client.clone(), target.clone(), early, tunnel, Box::pin(stop), false, None);
    let mut session = std::pin::pin!(session);
    let current = Arc::new(Mutex::new(0_u64));
    let with_fresh_wakers = std::future::poll_fn(|cx| {
        let number = {
            let mut current = current.lock().unwrap();
            *current += 1;
            *current
        };
        let waker = Waker::from(Arc::new(OneOf { current: current.clone(), number, task: cx.waker().clone() }));
        session.as_mut().poll(&mut Context::from_waker(&waker))
    });
    timeout(HOUR, with_fresh_wakers).await.expect("the session hangs")
}

/// A waker that works only until the next poll.
struct OneOf {
    current: Arc<Mutex<u64>>,
    number: u64,
    task: Waker,
}

impl Wake for OneOf {
    fn wake(self: Arc<Self>) {
        if *self.current.lock().unwrap() == self.number {
            self.task.wake_by_ref();
        }
    }
}

async fn quiet(client: &Stream, target: &Stream) -> End {
    quiet_in(BINARY, client, target).await
}

async fn quiet_in(protocol: Protocol, client: &Stream, target: &Stream) -> End {
    drive_to_end(client, target, Settings { protocol, ..QUIET }, b"", pending()).await
}

/// So many of the target's bytes, and none that could not be delivered.
fn target_says(protocol: Protocol, count: usize) -> Vec<u8> {
    deliverable(protocol, target_bytes_in(protocol, 0..count))
}

/// How two streams pace their reads and writes.
fn paces() -> impl Strategy<Value = [Vec<Pace>; 4]> {
    [pace(), pace(), pace(), pace()]
}

/// Amounts that make none, one and several reads.
fn amount() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..300_usize, 1 => Just(READ_BYTES + 1), 1 => Just(3 * READ_BYTES)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_target_s_eof_sends_all_of_it_and_close_1000(script in script_that_only_talks(), count in amount(), [a, b, c, d] in paces()) {
        let protocol = script.protocol;
        let say = vec![Say::Bytes(script.bytes.clone()), Say::AwaitClose, Say::Bytes(closing(protocol, 1000)), Say::Silence];
        let client = Stream::client_of(protocol, say, &a, &b);
        let target = Stream::target(vec![Say::Bytes(target_says(protocol, count)), Say::Eof], &c, &d);
        let end = run(quiet_in(protocol, &client, &target));
        let received = client.received();
        prop_assert_eq!(&received.payload, &target_says(protocol, count));
        prop_assert_eq!(received.closed(), closes_with(protocol, Some(1000)));
        prop_assert_eq!(target.got(), script.said(usize::MAX).payload);
        prop_assert!(target.shut().is_some());
        prop_assert_eq!((end.cause, end.to_client.lost, end.to_target.lost), (Cause::TargetClosed, 0, 0));
    }

    #[test]
    fn a_client_s_close_shuts_the_target_whose_last_bytes_still_arrive(
        script in script_that_closes(),
        early in any::<prop::sample::Index>(),
        count in amount(),
        [a, b, c, d] in paces(),
    ) {
        let protocol = script.protocol;
        let (early, rest) = script.bytes.split_at(early.index(script.bytes.len() + 1));
        let client = Stream::client_of(protocol, vec![Say::Bytes(rest.to_vec()), Say::Silence], &a, &b);
        let last_words = target_says(protocol, count);
        let target = Stream::target(vec![Say::AwaitShut, Say::Bytes(last_words), Say::Eof], &c, &d);
        let end = run(drive_to_end(&client, &target, Settings { protocol, ..QUIET }, early, pending()));
        let received = client.received();
        prop_assert_eq!(target.got(), script.said(usize::MAX).payload);
        prop_assert_eq!(&received.payload, &target_says(protocol, count));
        let Last::Close(code) = script.last else { unreachable!("the script closes") };
        prop_assert_eq!(received.closed(), closes_with(protocol, code));
        prop_assert!(matches!(end.cause, Cause::ClientClosed(_)));
        prop_assert_eq!((end.to_client.lost, end.to_target.lost), (0, 0));
    }

    #[test]
    fn a_client_s_eof_without_a_close_is_no_reason_to_lose_the_reply(
        script in script_that_only_talks(),
        count in amount(),
        [a, b, c, d] in paces(),
    ) {
        let protocol = script.protocol;
        let client = Stream::client_of(protocol, vec![Say::Bytes(script.bytes.clone()), Say::Eof], &a, &b);
        let target = Stream::target(vec![Say::AwaitShut, Say::Bytes(target_says(protocol, count)), Say::Eof], &c, &d);
        let end = run(quiet_in(protocol, &client, &target));
        prop_assert_eq!(target.got(), script.said(usize::MAX).payload);
        prop_assert_eq!(client.received().payload, target_says(protocol, count));
        prop_assert_eq!((end.cause, end.to_client.lost, end.to_target.lost), (Cause::ClientGone, 0, 0));
    }

    #[test]
    fn a_broken_rule_gets_one_close_with_its_code(script in script_that_breaks_a_rule(), [a, b, c, d] in paces()) {
        let protocol = script.protocol;
        let client = Stream::client_of(protocol, vec![Say::Bytes(script.bytes.clone()), Say::AwaitClose, Say::Eof], &a, &b);
        let target = Stream::target(vec![Say::Silence], &c, &d);
        let end = run(quiet_in(protocol, &client, &target));
        let Last::Broken(code) = script.last else { unreachable!("the script breaks a rule") };
        prop_assert_eq!(client.received().closed(), closes_with(protocol, Some(code)));
        prop_assert_eq!(target.got(), script.said(usize::MAX).payload);
        prop_assert_eq!(client.said(), script.bytes.len(), "the rest is read, so that no reset tears up the Close");
        prop_assert!(matches!(end.cause, Cause::Protocol(_)));
    }

    #[test]
    fn bytes_flow_both_ways_at_any_pace(script in script_that_only_talks(), count in amount(), [a, b, c, d] in paces()) {
        let protocol = script.protocol;
        let say = vec![Say::Bytes(script.bytes.clone()), Say::Pause(HOUR / 2), Say::Bytes(closing(protocol, 1000))];
        let client = Stream::client_of(protocol, say, &a, &b);
        let target = Stream::target(vec![Say::Bytes(target_says(protocol, count)), Say::AwaitShut, Say::Eof], &c, &d);
        run(quiet_in(protocol, &client, &target));
        prop_assert_eq!(target.got(), script.said(usize::MAX).payload);
        let received = client.received();
        prop_assert_eq!(received.closed(), closes_with(protocol, Some(1000)));
        prop_assert_eq!(&received.payload, &target_says(protocol, count));
    }

    #[test]
    fn a_stop_sends_its_code_once_at_whatever_moment(
        script in script_that_only_talks(),
        at in 0..50_u64,
        code in prop::sample::select(vec![1001_u16, 1012]),
        [a, b, c, d] in paces(),
    ) {
        let protocol = script.protocol;
        let say = vec![Say::Bytes(script.bytes.clone()), Say::AwaitClose, Say::Bytes(closing(protocol, code))];
        let client = Stream::client_of(protocol, say, &a, &b);
        let target = Stream::target(vec![Say::Bytes(target_says(protocol, 500)), Say::Silence], &c, &d);
        let end = run(drive_to_end(&client, &target, Settings { protocol, ..QUIET }, b"", async {
            sleep(Duration::from_millis(at)).await;
            Cause::Stopped(CloseCode::from_wire(code).unwrap())
        }));
        prop_assert_eq!(client.received().closed(), closes_with(protocol, Some(code)));
        prop_assert_eq!(target.got(), script.said(usize::MAX).payload, "what the client said before its Close");
        prop_assert!(matches!(end.cause, Cause::Stopped(_)));
    }

    #[test]
    fn a_reset_anywhere_is_an_ending_that_counts_right(
        script in script_that_only_talks(),
        count in amount(),
        at in 0..5000_usize,
        side in any::<bool>(),
        [a, b, c, d] in paces(),
    ) {
        let protocol = script.protocol;
        let client = Stream::client_of(protocol, vec![Say::Bytes(script.bytes.clone()), Say::AwaitClose, Say::Eof], &a, &b);
        let target = Stream::target(vec![Say::Bytes(target_says(protocol, count)), Say::AwaitShut, Say::Eof], &c, &d);
        let (client, target) = if side {
            (client.breaks_at(at, ErrorKind::BrokenPipe), target)
        } else {
            (client, target.breaks_at(at, ErrorKind::ConnectionReset))
        };
        let end = run(quiet_then_stop(protocol, &client, &target));
        counts(&end, &client, &target);
    }
}

/// Enough to be spliced, and to be copied again at the end.
const FLOOD: usize = 12 * READ_BYTES + 1000;

/// How a side lets a flood through: not always at once.
fn flood_pace() -> impl Strategy<Value = Vec<Pace>> {
    let step = prop_oneof![
        6 => Just(Pace::AtMost(usize::MAX)),
        2 => (1..9000_usize).prop_map(Pace::AtMost),
        1 => Just(Pace::Pause),
        1 => Just(Pace::Blink),
    ];
    prop::collection::vec(step, 1..12).prop_map(|mut pace| {
        pace.splice(0..0, [Pace::AtMost(usize::MAX); 4]); // it is a flood to begin with
        pace
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_flood_that_is_spliced_arrives_whole_with_pongs_between_its_frames(
        script in script_that_only_talks(),
        end in prop::sample::select(vec![Say::Eof, Say::Reset]),
        [a, b] in [flood_pace(), flood_pace()],
    ) {
        let protocol = script.protocol;
        let flood = target_says(protocol, FLOOD);
        let say = vec![Say::Bytes(script.bytes.clone()), Say::AwaitClose, Say::Eof];
        let client = Stream::client_of(protocol, say, &[], &a).bare();
        let target = Stream::target(vec![Say::Bytes(flood.clone()), end], &b, &[]).bare();
        let end = run(quiet_in(protocol, &client, &target));
        prop_assert_eq!(client.received().payload, flood);
        prop_assert_eq!(target.got(), script.said(usize::MAX).payload);
        prop_assert_eq!((end.to_client.accepted, end.to_client.lost), (target.said() as u64, 0));
        let transparent = matches!(protocol, Protocol::HyBi(Payload::Binary(TextFrames::Refuse | TextFrames::Accept)));
        prop_assert_eq!(client.is_spliced(), transparent, "the other protocols have work to do on each byte");
    }

    #[test]
    fn a_flood_that_breaks_off_in_the_middle_of_a_spliced_frame_is_counted_right(
        at in 4 * READ_BYTES..FLOOD,
        stopped in prop::option::of(0..30_u64),
        [a, b] in [flood_pace(), flood_pace()],
    ) {
        let client = Stream::client(vec![Say::AwaitClose, Say::Eof], &[], &a).bare().breaks_at(at, ErrorKind::BrokenPipe);
        let target = Stream::target(vec![Say::Bytes(target_bytes(0..FLOOD)), Say::AwaitShut, Say::Eof], &b, &[]).bare();
        let stop = async {
            match stopped {
                Some(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
                None => pending().await,
            }
            Cause::Stopped(CloseCode::GOING_AWAY)
        };
        let end = run(drive_to_end(&client, &target, QUIET, b"", stop));
        counts(&end, &client, &target);
        let payload = client.received().payload;
        prop_assert_eq!(&payload, &target_bytes(0..payload.len()));
    }
}

#[test]
fn a_client_that_stops_reading_in_the_middle_of_a_spliced_frame_ends_in_time_and_its_pipe_is_nobody_else_s() {
    for _ in 0..100 {
        let paces = [&[Pace::AtMost(usize::MAX); 10][..], &[Pace::AtMost(1), Pace::Wait(2 * HOUR)]].concat();
        let client = Stream::client(vec![Say::Silence], &[], &paces).bare();
        let target = Stream::target(vec![Say::Bytes(target_bytes(0..FLOOD)), Say::Eof], &[], &[]).bare();
        let settings = Settings { heartbeat: Some(20 * SECOND), ..QUIET };
        let end = run(drive_to_end(&client, &target, settings, b"", pending()));
        assert!(client.is_spliced() && end.to_client.lost > 0, "{end:?}");
        counts(&end, &client, &target);
    }
}

#[test]
fn where_the_kernel_cannot_splice_the_flood_is_copied() {
    let client = Stream::client(vec![Say::AwaitClose, Say::Eof], &[], &[]).bare();
    let target = Stream::target(vec![Say::Bytes(target_bytes(0..FLOOD)), Say::Eof], &[], &[]).bare_in_vain();
    let end = run(quiet(&client, &target));
    assert!(client.received().payload == target_bytes(0..FLOOD));
    assert!(!client.is_spliced());
    assert_eq!((end.cause, end.to_client.lost), (Cause::TargetClosed, 0));
}

/// What the end says is what the streams saw.
fn counts(end: &End, client: &Stream, target: &Stream) {
    assert_eq!(end.to_target.accepted - end.to_target.lost, target.got().len() as u64);
    // What the target says after the end is read, and nobody's.
    assert!(end.to_client.accepted <= target.said() as u64);
    assert_eq!(end.to_client.accepted - end.to_client.lost, client.received().payload.len() as u64);
}

async fn quiet_then_stop(protocol: Protocol, client: &Stream, target: &Stream) -> End {
    let stop = async {
        sleep(60 * SECOND).await;
        Cause::Stopped(CloseCode::GOING_AWAY)
    };
    drive_to_end(client, target, Settings { protocol, ..QUIET }, b"", stop).await
}

#[test]
fn a_client_that_fails_at_any_byte_loses_only_what_follows() {
    for at in 0..=64 {
        for kind in [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset] {
            let frame = client_frame(0x82, [1; 4], b"still to be delivered");
            let client =
                Stream::client(vec![Say::Pause(SECOND), Say::Bytes(frame), Say::Reset], &[], &[]).breaks_at(at, kind);
            let target = Stream::target(vec![Say::Bytes(target_bytes(0..100)), Say::Silence], &[Pace::AtMost(20)], &[]);
            let end = run(quiet(&client, &target));
            assert_eq!(client.got().len(), at);
            assert_eq!(target.got(), b"still to be delivered");
            assert!(target.shut().is_some());
            assert_eq!(end.cause, Cause::ClientLost);
            counts(&end, &client, &target);
        }
    }
}

#[test]
fn a_target_that_fails_at_any_byte_loses_only_what_follows() {
    for at in 0..=64 {
        for kind in [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset] {
            let say = vec![
                Say::Bytes(client_frame(0x82, [1, 2, 3, 4], &target_bytes(0..100))),
                Say::AwaitClose,
                Say::Bytes(client_close(1000, "")),
            ];
            let client = Stream::client(say, &[Pace::AtMost(7), Pace::Pause], &[]);
            let say = vec![Say::Pause(SECOND), Say::Bytes(target_bytes(0..50)), Say::Reset];
            let target = Stream::target(say, &[], &[]).breaks_at(at, kind);
            let end = run(quiet(&client, &target));
            assert_eq!(target.got(), target_bytes(0..at));
            let received = client.received();
            assert_eq!(received.payload, target_bytes(0..50), "what it had said before");
            assert_eq!(received.close_code(), Some(1011));
            assert_eq!(end.cause, Cause::TargetLost);
            counts(&end, &client, &target);
        }
    }
}

#[test]
fn a_client_whose_reads_fail_at_any_byte_is_delivered_up_to_there() {
    let bytes = [client_frame(0x82, [9; 4], &[1; 20]), client_frame(0x82, [8; 4], &[2; 30])].concat();
    for at in 0..bytes.len() {
        let client = Stream::client(vec![Say::Bytes(bytes[..at].to_vec()), Say::Reset], &[], &[]);
        let target = Stream::target(vec![Say::Silence], &[], &[Pace::AtMost(3), Pace::Pause]);
        let end = run(quiet(&client, &target));
        assert_eq!(target.got(), Script::talk(&bytes[..at]).said(usize::MAX).payload);
        assert!(target.shut().is_some());
        assert_eq!((end.cause, end.to_target.lost), (Cause::ClientLost, 0));
    }
}

#[test]
fn a_target_whose_reads_fail_at_any_byte_is_delivered_up_to_there() {
    for at in 0..=64 {
        let client = Stream::client(
            vec![Say::AwaitClose, Say::Bytes(client_close(1011, ""))],
            &[],
            &[Pace::AtMost(3), Pace::Pause],
        );
        let target = Stream::target(vec![Say::Bytes(target_bytes(0..at)), Say::Reset], &[Pace::AtMost(9)], &[]);
        let end = run(quiet(&client, &target));
        let received = client.received();
        assert_eq!(received.payload, target_bytes(0..at));
        assert_eq!(received.close_code(), Some(1011));
        assert_eq!((end.cause, end.to_client.lost), (Cause::TargetLost, 0));
    }
}

#[test]
fn a_client_that_takes_nothing_stops_the_target_after_one_read() {
    run(async {
        let say = vec![Say::AwaitClose, Say::Bytes(client_close(1000, ""))];
        let client = Stream::client(say, &[], &[]).stalled_for(600 * SECOND);
        let target = Stream::target(vec![Say::Bytes(target_bytes(0..1_000_000)), Say::Eof], &[], &[]);
        let observed = Cell::new(0);
        let ((), end) = tokio::join!(
            async {
                sleep(599 * SECOND).await;
                observed.set(target.said());
            },
            quiet(&client, &target)
        );
        assert!(observed.get() <= READ_BYTES, "{} bytes were read for a client that takes none", observed.get());
        assert_eq!(client.received().payload, target_bytes(0..1_000_000), "it all arrives once it wakes");
        assert_eq!(end.to_client.lost, 0);
    });
}

#[test]
fn a_target_that_takes_nothing_stops_the_client_after_one_read_and_not_its_own_bytes() {
    run(async {
        let upload = client_frame(0x82, [1, 2, 3, 4], &target_bytes(0..1_000_000));
        let client = Stream::client(vec![Say::Bytes(upload), Say::Bytes(client_close(1000, ""))], &[], &[]);
        let say = vec![Say::Bytes(target_bytes(0..500_000)), Say::AwaitShut];
        let target = Stream::target(say, &[], &[]).stalled_for(600 * SECOND);
        let observed = Cell::new((0, 0));
        tokio::join!(
            async {
                sleep(599 * SECOND).await;
                observed.set((client.said(), client.received().payload.len()));
            },
            quiet(&client, &target)
        );
        let (read, delivered) = observed.get();
        assert!(read <= READ_BYTES, "{read} bytes were read for a target that takes none");
        assert_eq!(delivered, 500_000, "the other direction flows on");
        assert_eq!(target.got(), target_bytes(0..1_000_000), "it all arrives once it wakes");
    });
}

#[test]
fn a_ping_flood_of_a_client_that_reads_nothing_is_bounded() {
    run(async {
        let flood = client_frame(0x89, [1, 2, 3, 4], &[7; 125]).repeat(10_000);
        let say = vec![Say::Bytes(flood), Say::AwaitClose, Say::Eof];
        let client = Stream::client(say, &[], &[]).stalled_for(600 * SECOND);
        let target = Stream::target(vec![Say::Pause(650 * SECOND), Say::Eof], &[], &[]);
        quiet(&client, &target).await;
        let pongs = client.received().pongs.len();
        assert!((16..=18).contains(&pongs), "{pongs} pongs were kept");
        assert_eq!(client.said(), 10_000 * 131, "while reading goes on");
    });
}

#[test]
fn a_client_that_answers_pings_lives_and_one_that_does_not_is_given_up() {
    run(async {
        let settings = Settings { heartbeat: Some(30 * SECOND), ..QUIET };
        let pong = || Say::Bytes(client_frame(0x8A, [1; 4], b""));
        let mut say = Vec::new();
        for _ in 0..10 {
            say.extend([Say::Pause(35 * SECOND), pong()]);
        }
        say.push(Say::Silence);
        let client = Stream::client(say, &[], &[]);
        let target = Stream::target(vec![Say::Silence], &[], &[]);
        let start = Instant::now();
        let end = drive_to_end(&client, &target, settings, b"", pending()).await;
        assert_eq!(end.cause, Cause::ClientSilent);
        let lived = start.elapsed();
        assert!(lived > 400 * SECOND && lived < 420 * SECOND, "{lived:?}");
        assert!((10..=12).contains(&client.received().pings));
        assert_eq!(client.received().close_code(), Some(1001));
    });
}

#[test]
fn an_idle_session_ends_on_time() {
    run(async {
        let settings = Settings { idle_timeout: Some(100 * SECOND), ..QUIET };
        let ping = || Say::Bytes(client_frame(0x89, [1; 4], b"no payload"));
        let say = vec![Say::Pause(60 * SECOND), ping(), Say::AwaitClose, Say::Bytes(client_close(1001, ""))];
        let client = Stream::client(say, &[], &[]);
        let target = Stream::target(vec![Say::Pause(50 * SECOND), Say::Bytes(vec![1]), Say::Silence], &[], &[]);
        let start = Instant::now();
        let end = drive_to_end(&client, &target, settings, b"", pending()).await;
        assert_eq!(end.cause, Cause::Idle);
        assert!((150 * SECOND..=151 * SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
    });
}

#[test]
fn no_ending_outlives_its_timeouts_when_nobody_answers() {
    let close = || Say::Bytes(client_close(1000, ""));
    let broken = || Say::Bytes(b"\xff".to_vec());
    let stop = || async {
        sleep(SECOND).await;
        Cause::Stopped(CloseCode::GOING_AWAY)
    };
    let endings: [(Vec<Say>, Vec<Say>); 6] = [
        (vec![close(), Say::Silence], vec![Say::Silence]),
        (vec![broken(), Say::Silence], vec![Say::Silence]),
        (vec![Say::Silence], vec![Say::Eof]),
        (vec![Say::Silence], vec![Say::Reset]),
        (vec![Say::Eof], vec![Say::Silence]),
        (vec![Say::Silence], vec![Say::Silence]),
    ];
    for (client_says, target_says) in endings {
        for stalled in [false, true] {
            run(async {
                let mut client = Stream::client(client_says.clone(), &[], &[]);
                let mut target = Stream::target(target_says.clone(), &[], &[]);
                if stalled {
                    (client, target) = (client.stalled_for(HOUR / 2), target.stalled_for(HOUR / 2));
                }
                let start = Instant::now();
                drive_to_end(&client, &target, QUIET, b"", stop()).await;
                let took = start.elapsed();
                assert!(took <= ENDING_MAX + 2 * SECOND, "{client_says:?}, {target_says:?}: {took:?}");
                if !stalled {
                    assert!(client.received().close.is_some(), "{client_says:?}, {target_says:?}");
                }
            });
        }
    }
}

/// Runs on the real clock: one that stands still while there is work to do would never come to a deadline.
fn ends_in_real_time(client: &Stream, target: &Stream) -> End {
    let settings = Settings { close_timeout: Duration::from_millis(50), ..QUIET };
    let tunnel = Tunnel::new(std::time::Instant::now(), settings);
    let session = drive(client.clone(), target.clone(), Bytes::new(), tunnel, pending(), false, None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut session = std::pin::pin!(session);
        let start = std::time::Instant::now();
        std::future::poll_fn(|cx| {
            assert!(start.elapsed() < 10 * SECOND, "a side that never pauses outlives every timeout");
            client.0.borrow_mut().got.clear();
            session.as_mut().poll(cx)
        })
        .await
    })
}

#[test]
fn a_target_that_never_pauses_is_cut_off_all_the_same() {
    let client = Stream::sink(vec![Say::Bytes(client_close(1000, "")), Say::Silence]);
    let target = Stream::target(vec![Say::Endless], &[], &[]);
    let end = ends_in_real_time(&client, &target);
    assert!(matches!(end.cause, Cause::ClientClosed(_)));
}

#[test]
fn a_client_that_never_pauses_after_breaking_a_rule_is_cut_off_all_the_same() {
    let client = Stream::sink(vec![Say::Bytes(b"\xff".to_vec()), Say::Endless]);
    let target = Stream::target(vec![Say::Silence], &[], &[]);
    let end = ends_in_real_time(&client, &target);
    assert!(matches!(end.cause, Cause::Protocol(_)));
}

#[test]
fn what_the_end_counts_as_lost_was_not_sent_after_all() {
    // The target wakes up around the very moment in which the time is up.
    for milliseconds in 995..1005 {
        run(async {
            let all = [client_frame(0x82, [1; 4], &[5; 1000]), client_close(1000, "")].concat();
            let client = Stream::client(vec![Say::Bytes(all), Say::Silence], &[], &[]);
            let target = Stream::target(vec![Say::Silence], &[], &[Pace::Blink, Pace::AtMost(1000)]);
            let target = target.stalled_for(QUIET.close_timeout + Duration::from_millis(milliseconds));
            let end = quiet(&client, &target).await;
            counts(&end, &client, &target);
        });
    }
}

#[test]
fn a_frame_is_one_read_of_the_target_s() {
    let target = Stream::target(vec![Say::Bytes(target_bytes(0..1000)), Say::Eof], &[], &[]);
    let client = Stream::client(vec![Say::AwaitClose, Say::Eof], &[], &[]);
    run(quiet(&client, &target));
    assert_eq!(client.got()[..4], [0x82, 126, 0x03, 0xE8]);
    assert!(client.got().len() < 1000 + 2 * HEADROOM + 20);
}
