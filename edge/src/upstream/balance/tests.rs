//! Shares, ties, keys and who is passed over.

use super::*;

fn chooser(way: Way, weights: &[u16]) -> Balance {
    let positions: Vec<_> = weights.iter().copied().zip(100..).collect();
    Balance::new(way, &positions, 7)
}

fn turns(weights: &[u16]) -> Balance {
    chooser(Way::Turns, weights)
}

fn idle(_: usize) -> usize {
    0
}

fn picks(balance: &Balance, count: usize) -> Vec<usize> {
    (0..count).filter_map(|_| balance.pick(&balance.draw(None), |_| true, idle)).collect()
}

fn count_of<const N: usize>(picks: impl IntoIterator<Item = usize>) -> [usize; N] {
    let mut counts = [0; N];
    picks.into_iter().for_each(|position| counts[position] += 1);
    counts
}

#[test]
fn turns_of_a_heavy_server_are_spread() {
    let balance = turns(&[5, 1, 1]);
    assert_eq!(picks(&balance, 7), [0, 0, 1, 0, 2, 0, 0]);
    assert_eq!(picks(&balance, 7), [0, 0, 1, 0, 2, 0, 0]);
}

#[test]
fn equal_servers_take_turns_and_common_factors_do_not_matter() {
    assert_eq!(picks(&turns(&[7, 7]), 4), [0, 1, 0, 1]);
    assert_eq!(turns(&[20, 10]).schedule.len(), 3);
}

#[test]
fn shares_are_right_for_large_weights() {
    let balance = turns(&[65535, 32767, 1]);
    let [heavy, _, light] = count_of(picks(&balance, balance.schedule.len()));
    assert!(balance.schedule.len() <= 4096 + 3);
    assert!((2720..2740).contains(&heavy), "{heavy}");
    assert_eq!(light, 1);
}

#[test]
fn who_is_not_eligible_is_passed_over_and_weight_0_has_no_turn() {
    for way in [Way::Turns, Way::Least, Way::Two] {
        let balance = chooser(way, &[1, 0, 1]);
        for key in [None, Some(5)] {
            let pick = |of: fn(usize) -> bool| balance.pick(&balance.draw(key), of, idle);
            assert!((0..10).all(|_| pick(|server| server != 0) == Some(2)));
            assert_eq!(pick(|server| server == 1), None);
        }
        assert!(picks(&chooser(way, &[0]), 3).is_empty());
        assert!(picks(&chooser(way, &[]), 3).is_empty());
    }
}

#[test]
fn the_share_of_who_is_passed_over_goes_to_all_others() {
    let balance = turns(&[1, 1, 1, 1]);
    let one = |_| balance.pick(&balance.draw(None), |server| server != 1, idle);
    let [a, b, c, d] = count_of((0..3000).filter_map(one));
    assert_eq!(b, 0);
    assert!([a, c, d].iter().all(|count| (900..1100).contains(count)), "{a} {c} {d}");
}

#[test]
fn a_second_look_at_the_same_turn_does_not_pass_anybody_over() {
    let balance = turns(&[1, 1]);
    let look_twice = |_| {
        let draw = balance.draw(None);
        balance.pick(&draw, |_| false, idle).or_else(|| balance.pick(&draw, |_| true, idle))
    };
    let picked: Vec<_> = (0..4).filter_map(look_twice).collect();
    assert_eq!(picked, [0, 1, 0, 1]);
}

#[test]
fn threads_together_keep_the_shares() {
    let balance = turns(&[3, 1]);
    let count = || picks(&balance, 1000).into_iter().filter(|turn| *turn == 0).count();
    let heavy: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!(heavy, 3000);
}

#[test]
fn the_least_busy_for_its_weight_is_chosen_and_equals_take_turns() {
    let balance = chooser(Way::Least, &[2, 1, 1]);
    let busy = [3, 0, 2];
    assert_eq!(balance.pick(&balance.draw(None), |_| true, |server| busy[server]), Some(1));
    // (3+1)/2 against (2+1)/1: the heavy one.
    assert_eq!(balance.pick(&balance.draw(None), |server| server != 1, |server| busy[server]), Some(0));
    assert_eq!(count_of(picks(&chooser(Way::Least, &[1, 1, 1]), 9)), [3, 3, 3]);
}

#[test]
fn of_two_by_chance_the_one_with_fewer_requests_is_chosen() {
    let balance = chooser(Way::Two, &[1, 1, 1, 1]);
    let busy = [9, 0, 0, 0];
    let one = |_| balance.pick(&balance.draw(None), |_| true, |server| busy[server]);
    let counts: [usize; 4] = count_of((0..3000).filter_map(one));
    assert_eq!(counts[0], 0, "it always meets somebody who has less");
    assert!(counts[1..].iter().all(|count| *count > 800), "{counts:?}");
}

#[test]
fn a_key_keeps_its_server_and_only_those_of_a_lost_one_move() {
    let balance = turns(&[1, 1, 2]);
    let of = |key: u64, lost: Option<usize>| {
        balance.pick(&balance.draw(Some(mixed(key))), |server| Some(server) != lost, idle).expect("a server")
    };
    let counts: [usize; 3] = count_of((0..4000).map(|key| of(key, None)));
    assert!((850..1150).contains(&counts[0]) && (1800..2200).contains(&counts[2]), "{counts:?}");
    for key in 0..1000 {
        let before = of(key, None);
        assert_eq!(before, of(key, None));
        if before != 1 {
            assert_eq!(before, of(key, Some(1)));
        }
    }
}

#[test]
fn a_key_keeps_its_server_when_others_come_or_are_written_elsewhere() {
    let before = Balance::new(Way::Turns, &[(1, 5), (1, 6), (1, 7)], 1);
    let after = Balance::new(Way::Turns, &[(1, 9), (1, 7), (1, 5), (1, 6)], 2);
    let of = |balance: &Balance, key| balance.pick(&balance.draw(Some(mixed(key))), |_| true, idle).expect("a server");
    let kept = (0..1000).filter(|key| before.ids[of(&before, *key)] == after.ids[of(&after, *key)]).count();
    assert!((700..800).contains(&kept), "{kept} of 1000, where a quarter belongs to the new one");
}

#[test]
fn a_share_is_admitted_in_proportion() {
    let balance = turns(&[1, 1]);
    let admitted = (0..10_000).filter(|_| balance.draw(None).admits(1, 250)).count();
    assert!((2300..2700).contains(&admitted), "{admitted}");
    assert!(!balance.draw(None).admits(0, 0) && balance.draw(None).admits(0, WHOLE));
}
