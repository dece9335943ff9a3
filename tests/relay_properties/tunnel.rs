//! The rules, in the order in which `relay::tunnel` numbers them.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use websockify::relay::end::Cause;
use websockify::relay::tunnel::{Settings, Tunnel};
use websockify::websocket::codec::{HEADROOM, Protocol, buffer_bytes};

use super::frames::{
    BINARY, Last, Script, any_script, client_close, client_frame, closes_with, message, protocol, received,
    script_that_breaks_a_rule, script_that_closes, script_that_only_talks,
};
use super::world::{CONTROL_WAITING_MAX, ENDING_MAX, Op, QUIET, World, any_settings, anything, flowing};

const SECOND: Duration = Duration::from_secs(1);

// 8
#[test]
fn what_follows_a_broken_rule_is_thrown_away_also_while_the_target_is_stuck() {
    let now = Instant::now();
    let mut tunnel = Tunnel::new(now, QUIET);
    let mut input = [client_frame(0x82, [1, 2, 3, 4], b"kept"), client_frame(0x83, [0; 4], b"")].concat();
    let range = tunnel.handle_client(now, &mut input);
    tunnel.keep_for_target(&input[range]);
    assert_eq!(tunnel.to_target(), b"kept");
    assert!(tunnel.wants_client(), "unread bytes would make a reset of the close, which tears up the Close frame");
    assert!(tunnel.handle_client(now, &mut client_frame(0x82, [0; 4], b"more")).is_empty());
    assert_eq!(tunnel.to_target(), b"kept");
}

// 7
#[test]
fn a_client_whose_answer_lies_behind_what_the_target_does_not_take_is_not_silent() {
    let start = Instant::now();
    let mut tunnel = Tunnel::new(start, Settings { heartbeat: Some(20 * SECOND), ..QUIET });
    let mut input = client_frame(0x82, [1, 2, 3, 4], b"for a slow target");
    let range = tunnel.handle_client(start, &mut input);
    tunnel.keep_for_target(&input[range]);
    let mut now = start;
    while now < start + 300 * SECOND {
        now += SECOND;
        tunnel.tick(now);
        let pings = tunnel.to_client().len();
        tunnel.sent_to_client(now, pings);
        assert!(
            !tunnel.wants_client() && tunnel.end().is_none() && tunnel.deadline() > Some(now),
            "after {:?}",
            now - start
        );
    }
    // Once the target has taken it all, the client has its time to be heard, and no more.
    tunnel.sent_to_target(now, b"for a slow target".len());
    let free = now;
    while tunnel.end().is_none() {
        now += SECOND;
        tunnel.tick(now);
        let waiting = tunnel.to_client().len();
        tunnel.sent_to_client(now, waiting);
        if tunnel.wants_target_shut() {
            tunnel.target_shut();
        }
    }
    assert_eq!(tunnel.end().map(|end| &end.cause), Some(&Cause::ClientSilent));
    assert!((20 * SECOND..=41 * SECOND).contains(&(now - free)), "{:?}", now - free);
}

// 9
#[test]
fn an_ending_in_which_a_byte_moves_now_and_then_is_bounded_too() {
    let (start, mut payload) = (Instant::now(), vec![0; HEADROOM + 4000]);
    let mut tunnel = Tunnel::new(start, Settings { close_timeout: SECOND, ..QUIET });
    let outgoing = tunnel.handle_target(start, &mut payload, HEADROOM..HEADROOM + 4000);
    tunnel.keep_for_client(&payload[outgoing.frame], 4000);
    tunnel.handle_target_eof(start);
    let mut now = start;
    while tunnel.end().is_none() {
        now += SECOND / 2;
        tunnel.sent_to_client(now, 1);
        tunnel.tick(now);
    }
    assert_eq!(now - start, 20 * SECOND);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, max_shrink_iters: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    // 1
    #[test]
    fn no_byte_is_lost_unless_the_end_says_so(script in any_script(), settings in any_settings(), ops in anything()) {
        let mut world = World::new(Instant::now(), settings, script);
        world.ops(&ops);
        world.finish();
        world.accounts();
        prop_assert!(world.target_said(0..world.target_fed).starts_with(&world.received().payload));
    }

    // 1
    #[test]
    fn nothing_at_all_is_lost_between_two_healthy_sides(script in any_script(), ops in flowing()) {
        let mut world = World::quiet(script);
        world.ops(&ops);
        world.finish();
        world.accounts();
        prop_assert_eq!(world.end().to_target.lost, 0);
        let deliverable = world.deliverable();
        prop_assert_eq!(world.end().to_client.lost, (world.target_fed - deliverable.len()) as u64);
        prop_assert_eq!(&world.target_got, &world.said());
        prop_assert_eq!(world.received().payload, deliverable);
    }

    // 2
    #[test]
    fn a_full_outbox_stops_only_its_own_source(
        protocol in protocol(),
        payload in prop::collection::vec(any::<u8>(), 1..300),
        read in 1..300_usize,
    ) {
        let mut tunnel = Tunnel::new(Instant::now(), Settings { protocol, ..QUIET });
        let mut input = message(protocol, &payload);
        let range = tunnel.handle_client(Instant::now(), &mut input);
        prop_assert_eq!(&input[range.clone()], &payload);
        tunnel.keep_for_target(&input[range]);
        prop_assert!(!tunnel.wants_client() && tunnel.wants_target());

        let mut buffer = vec![b'x'; buffer_bytes(read)];
        let outgoing = tunnel.handle_target(Instant::now(), &mut buffer, HEADROOM..HEADROOM + read);
        tunnel.keep_for_client(&buffer[outgoing.frame], outgoing.payload);
        prop_assert!(!tunnel.wants_client() && !tunnel.wants_target());

        tunnel.sent_to_target(Instant::now(), payload.len());
        prop_assert!(tunnel.wants_client() && !tunnel.wants_target());
        tunnel.sent_to_client(Instant::now(), tunnel.to_client().len());
        prop_assert!(tunnel.wants_client() && tunnel.wants_target());
    }

    // 3
    #[test]
    fn after_the_target_s_eof_all_of_it_goes_to_the_client_and_then_close_1000(
        script in script_that_only_talks(),
        ops in flowing(),
    ) {
        let mut world = World::quiet(script);
        world.ops(&ops);
        world.finish_until(Tunnel::wants_target);
        world.op(&Op::TargetEof);
        world.finish();
        let received = world.received();
        prop_assert_eq!(&received.payload, &world.deliverable());
        prop_assert_eq!(received.closed(), world.closes_with(1000));
        prop_assert!(world.is_closed());
        if let Some(close) = received.close.filter(|close| close.code.is_some()) {
            prop_assert_eq!(close.reason, "Target closed");
        }
        prop_assert_eq!(&world.end().cause, &Cause::TargetClosed);
    }

    // 3
    #[test]
    fn after_the_target_s_eof_the_client_s_bytes_flow_until_its_close(script in script_that_closes(), ops in flowing()) {
        let mut world = World::quiet(script);
        world.op(&Op::TargetEof);
        world.ops(&ops);
        world.finish();
        prop_assert_eq!(&world.target_got, &world.script.said(usize::MAX).payload);
        prop_assert_eq!(world.fed, world.fed.max(world.script.decided));
        prop_assert_eq!(world.received().closed(), world.closes_with(1000));
        prop_assert!(world.is_closed() && world.target_shut);
    }

    // 4
    #[test]
    fn a_client_s_close_shuts_the_target_lets_it_finish_and_is_answered_last(
        script in script_that_closes(),
        ops in flowing(),
        rest in 1..1000_usize,
    ) {
        let mut world = World::quiet(script);
        world.ops(&ops);
        world.finish_until(|tunnel| tunnel.wants_target() && !tunnel.wants_client());
        prop_assert!(world.target_shut);
        prop_assert_eq!(&world.target_got, &world.script.said(usize::MAX).payload);
        prop_assert!(!world.is_closed(), "the answer waits for the target");
        world.op(&Op::FromTarget { read: rest, taken: 0 });
        world.finish();
        let received = world.received();
        prop_assert_eq!(&received.payload, &world.deliverable());
        let Last::Close(code) = world.script.last else { unreachable!("the script closes") };
        prop_assert_eq!(received.closed(), closes_with(world.script.protocol, code), "what came is what is sent back");
        prop_assert!(matches!(world.end().cause, Cause::ClientClosed(_)));
    }

    // 5
    #[test]
    fn a_client_that_leaves_without_a_close_still_gets_what_the_target_has_to_say(
        script in script_that_only_talks(),
        ops in flowing(),
        rest in 1..1000_usize,
    ) {
        let mut world = World::quiet(script);
        world.ops(&ops);
        world.finish_until(Tunnel::wants_client);
        world.op(&Op::ClientEof);
        world.finish_until(Tunnel::wants_target);
        world.op(&Op::FromTarget { read: rest, taken: 3 });
        world.finish();
        prop_assert!(world.target_shut);
        prop_assert_eq!(&world.target_got, &world.said());
        prop_assert_eq!(world.received().payload, world.deliverable());
        prop_assert_eq!(world.received().closed(), world.closes_with(1000));
        prop_assert_eq!(&world.end().cause, &Cause::ClientGone);
    }

    // 6
    #[test]
    fn a_reset_of_the_client_still_delivers_what_it_had_sent(script in any_script(), ops in flowing(), write in any::<bool>()) {
        let mut world = World::quiet(script);
        world.ops(&ops);
        if write {
            world.finish_until(Tunnel::wants_target);
            world.op(&Op::FromTarget { read: 5, taken: 2 });
            world.op(&Op::ClientUnwritable);
        } else {
            world.finish_until(Tunnel::wants_client);
            world.op(&Op::ClientLost);
        }
        world.finish();
        world.accounts();
        prop_assert_eq!(&world.target_got, &world.said(), "the target is healthy");
        prop_assert_eq!(world.end().to_target.lost, 0);
    }

    // 6
    #[test]
    fn a_reset_of_the_target_still_delivers_what_it_had_sent(script in script_that_only_talks(), ops in flowing(), rest in 1..500_usize) {
        let before = script.bytes.len();
        let last = message(script.protocol, b"for a target that is gone");
        let mut world = World::quiet(Script::talk_in(script.protocol, &[script.bytes, last].concat()));
        world.limit = before;
        world.ops(&ops);
        world.finish_until(|_| false);
        world.limit = world.script.bytes.len();
        world.op(&Op::FromClient { read: usize::MAX, taken: 1 });
        world.op(&Op::TargetUnwritable);
        world.op(&Op::FromTarget { read: rest, taken: 0 });
        world.op(&Op::ClientTakes(usize::MAX));
        world.op(&Op::TargetLost);
        world.finish();
        world.accounts();
        prop_assert_eq!(world.end().to_target.lost, b"for a target that is gone".len() as u64 - 1);
        prop_assert_eq!(world.received().payload, world.deliverable(), "the client is healthy");
        prop_assert_eq!(world.received().closed(), world.closes_with(1011));
        prop_assert_eq!(&world.end().cause, &Cause::TargetLost);
    }

    // 7
    #[test]
    fn a_ping_flood_cannot_grow_memory(payload in prop::collection::vec(any::<u8>(), 0..=125), reads in prop::collection::vec(1..5000_usize, 1..50)) {
        let mut tunnel = Tunnel::new(Instant::now(), QUIET);
        let latest = b"the latest";
        for read in reads {
            let mut input = client_frame(0x89, [9, 8, 7, 6], &payload).repeat(read / 10 + 1);
            tunnel.handle_client(Instant::now(), &mut input);
            prop_assert!(tunnel.to_client().len() <= CONTROL_WAITING_MAX);
            prop_assert!(!tunnel.wants_target(), "nothing overtakes the answers");
        }
        tunnel.handle_client(Instant::now(), &mut client_frame(0x89, [1; 4], latest));
        let mut got = Vec::new();
        while !tunnel.to_client().is_empty() {
            got.extend(tunnel.to_client());
            tunnel.sent_to_client(Instant::now(), tunnel.to_client().len());
        }
        prop_assert!(got.len() <= 2 * CONTROL_WAITING_MAX);
        let pongs = received(BINARY, &got).pongs;
        prop_assert_eq!(pongs.last().map(Vec::as_slice), Some(&latest[..]), "of too many, the latest is answered");
        prop_assert!(pongs[..pongs.len() - 1].iter().all(|pong| *pong == payload));
        prop_assert!(tunnel.wants_target());
    }

    // 7
    #[test]
    fn each_ping_of_a_few_is_answered_in_order_before_anything_read_later(script in script_that_only_talks(), ops in flowing()) {
        let mut world = World::quiet(script);
        for op in &ops {
            let answered = world.received().pongs.len();
            let target_fed = world.target_fed;
            let due = world.script.said(world.fed).pings.len();
            world.op(op);
            if world.target_fed > target_fed {
                prop_assert_eq!(answered, due, "the target was read before the answer had gone");
            }
        }
        world.finish_until(|tunnel| tunnel.to_client().is_empty());
        prop_assert_eq!(world.received().pongs, world.script.said(world.fed).pings);
    }

    // 8
    #[test]
    fn a_broken_rule_sends_one_close_and_nothing_after_it_counts(script in script_that_breaks_a_rule(), ops in flowing()) {
        let Last::Broken(code) = script.last else { unreachable!("the script breaks a rule") };
        let mut world = World::quiet(script);
        world.ops(&ops);
        world.finish();
        prop_assert!(matches!(world.end().cause, Cause::Protocol(_)));
        prop_assert_eq!(world.received().closed(), world.closes_with(code));
        prop_assert_eq!(&world.target_got, &world.script.said(usize::MAX).payload);
        prop_assert_eq!(world.fed, world.script.bytes.len(), "what follows is read, so that no reset tears up the Close");
        prop_assert!(world.client_shut && world.target_shut);
    }

    // 8, and every other ending
    #[test]
    fn at_most_one_close_is_sent_and_nothing_after_it(script in any_script(), settings in any_settings(), ops in anything()) {
        let mut world = World::new(Instant::now(), settings, script);
        world.ops(&ops);
        let without_failure = !world.client_failed;
        world.finish();
        let received = world.received(); // which is where a second one, or anything after it, panics
        if without_failure && !world.client_failed {
            let told = received.close.is_some() || world.script.protocol == Protocol::Hixie75;
            prop_assert!(told || world.end().to_client.lost > 0 || world.timed_out());
        }
    }

    // 9
    #[test]
    fn time_passes_only_as_told(script in any_script(), settings in any_settings(), ops in anything()) {
        let start = Instant::now();
        let [one, other] = [start, start + Duration::from_secs(100_000_000)].map(|start| {
            let mut world = World::new(start, settings, script.clone());
            world.ops(&ops);
            (world.client_got, world.target_got, world.ended, world.tunnel.deadline().map(|at| at - start))
        });
        prop_assert_eq!(one, other);
    }

    // 10
    #[test]
    fn stopping_sends_one_close_and_lets_the_client_finish(
        script in prop_oneof![script_that_only_talks(), script_that_closes()],
        before in flowing(),
        after in flowing(),
        code in prop::sample::select(vec![1001, 1012]),
    ) {
        let mut world = World::quiet(script);
        world.ops(&before);
        let already = world.is_closed() || !world.tunnel.wants_client() && world.tunnel.to_target().is_empty();
        world.op(&Op::Stop(code));
        world.op(&Op::Stop(1000));
        prop_assert!(!world.tunnel.wants_target());
        world.ops(&after);
        world.finish();
        if !already && matches!(world.end().cause, Cause::Stopped(_)) {
            prop_assert_eq!(world.received().closed(), world.closes_with(code));
        }
        prop_assert!(world.received().close.is_some() || world.script.protocol == Protocol::Hixie75);
        prop_assert_eq!(&world.target_got, &world.script.said(usize::MAX).payload, "all the client said before its Close");
        prop_assert_eq!(world.end().to_client.lost, (world.target_fed - world.deliverable().len()) as u64);
    }

    // 11
    #[test]
    fn nothing_changes_after_the_end(script in any_script(), ops in anything(), late in anything()) {
        let mut world = World::quiet(script);
        world.ops(&ops);
        world.finish();
        let end = world.end().clone();
        let now = world.now;
        world.ops(&late);
        world.tunnel.handle_client(now, &mut client_frame(0x82, [0; 4], b"late"));
        world.tunnel.handle_client_eof(now);
        world.tunnel.handle_client_lost(now);
        world.tunnel.handle_target_eof(now);
        world.tunnel.handle_target_lost(now);
        world.tunnel.tick(now + 100 * SECOND);
        prop_assert_eq!(world.tunnel.end(), Some(&end));
        prop_assert!(!world.tunnel.wants_client() && !world.tunnel.wants_target());
    }

    #[test]
    fn every_ending_is_bounded_when_both_sides_stall(script in any_script(), ops in anything(), stop in any::<bool>()) {
        let mut world = World::quiet(script);
        world.ops(&ops);
        if stop || world.tunnel.deadline().is_none() {
            world.op(&Op::Stop(1001));
        }
        prop_assert!(world.stall() <= ENDING_MAX);
        world.accounts();
    }
}

#[test]
fn an_ending_is_extended_only_while_something_finite_moves() {
    let mut world = World::quiet(Script::talk(&client_close(1000, "")));
    let start = world.now;
    world.op(&Op::FromClient { read: 100, taken: 100 });
    world.op(&Op::Shut);
    // A target that never stops talking is cut off.
    while world.ended.is_none() && world.now < start + 60 * SECOND {
        world.op(&Op::FromTarget { read: 100, taken: 200 });
        world.op(&Op::Wait(500));
        world.op(&Op::ClientTakes(usize::MAX));
    }
    assert!(world.now - start <= ENDING_MAX);
    world.accounts();
    assert_eq!(world.received().close_code(), Some(1000), "the client's Close is answered all the same");
}

#[test]
fn a_client_that_catches_up_with_its_pongs_is_not_silent() {
    let settings = Settings { heartbeat: Some(20 * SECOND), ..QUIET };
    let mut world = World::new(Instant::now(), settings, Script::talk(&client_frame(0x89, [1; 4], b"hi")));
    world.op(&Op::FromClient { read: 100, taken: 0 });
    world.op(&Op::Wait(20_000)); // a ping would be due, but the pong is still not taken
    world.op(&Op::Wait(10_000));
    world.op(&Op::ClientTakes(usize::MAX)); // alive, and with nothing to answer
    world.op(&Op::Wait(15_000));
    assert_eq!(world.received().pings, 0, "it was asked nothing");
    assert_eq!(world.ended, None);
    assert_eq!(world.received().close, None, "given up without having been asked");
    world.op(&Op::Wait(6_000));
    world.op(&Op::ClientTakes(usize::MAX));
    assert_eq!(world.received().pings, 1);
    world.op(&Op::Wait(20_000));
    assert!(world.tunnel.deadline().is_some_and(|at| at <= world.now + SECOND), "now it is silent");
    world.finish();
    assert_eq!(world.end().cause, Cause::ClientSilent);
}

#[test]
fn payload_that_trickles_out_is_not_idle() {
    let settings = Settings { idle_timeout: Some(10 * SECOND), ..QUIET };
    let mut down = World::new(Instant::now(), settings, Script::talk(b""));
    down.op(&Op::FromTarget { read: 100, taken: 0 });
    let mut up = World::new(Instant::now(), settings, Script::talk(&client_frame(0x82, [0; 4], &[7; 100])));
    up.op(&Op::FromClient { read: 200, taken: 0 });
    for _ in 0..20 {
        for world in [&mut down, &mut up] {
            world.op(&Op::Wait(6_000));
            world.op(&Op::ClientTakes(3));
            world.op(&Op::TargetTakes(3));
            assert!(world.tunnel.wants_client() || world.tunnel.wants_target(), "closed as idle while bytes move");
        }
    }
}

#[test]
fn a_silent_client_is_given_up_after_a_ping() {
    let settings = Settings { heartbeat: Some(20 * SECOND), ..QUIET };
    let mut world = World::new(Instant::now(), settings, Script::talk(b""));
    let start = world.now;
    world.op(&Op::Wait(20_000));
    world.op(&Op::ClientTakes(usize::MAX));
    assert_eq!(world.received().pings, 1);
    world.stall();
    assert_eq!(world.end().cause, Cause::ClientSilent);
    assert!(world.now - start <= 41 * SECOND);
}

#[test]
fn an_idle_session_is_closed_with_1001() {
    let settings = Settings { idle_timeout: Some(10 * SECOND), ..QUIET };
    let mut world = World::new(Instant::now(), settings, Script::talk(b""));
    world.op(&Op::Wait(9_999));
    assert_eq!(world.received().close, None);
    world.op(&Op::Wait(1));
    world.finish();
    assert_eq!(world.end().cause, Cause::Idle);
    assert_eq!(world.received().close_code(), Some(1001));
}

#[test]
fn durations_beyond_all_time_mean_never() {
    let settings = Settings {
        protocol: BINARY,
        heartbeat: Some(Duration::MAX),
        idle_timeout: Some(Duration::MAX),
        close_timeout: Duration::MAX,
    };
    let mut world = World::new(Instant::now(), settings, Script::talk(&client_close(1000, "")));
    assert_eq!(world.tunnel.deadline(), None);
    world.op(&Op::Wait(60_000));
    world.op(&Op::FromClient { read: 100, taken: 0 });
    assert_eq!(world.tunnel.deadline(), None);
    world.finish();
    assert_eq!(world.received().close_code(), Some(1000));
}
