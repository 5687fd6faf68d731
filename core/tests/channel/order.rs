//! Order that begins while messages are under way.

use std::collections::BTreeSet;

use proptest::prelude::*;
use sealway_core::Tick;
use sealway_core::channel::{BACKWARD_WINDOW, Delivery, InOrder, Opener, Sealer};
use sealway_core::wire::Frame;

const KEY: [u8; 32] = [9; 32];

/// A sealed message and how many later ones may overtake it; `Some` if it comes twice, the second time so much later.
#[derive(Clone, Debug)]
struct Sent {
    late_by: u64,
    again: Option<u64>,
}

fn sent() -> impl Strategy<Value = Sent> {
    let late_by = prop_oneof![2 => Just(0), 1 => 0..BACKWARD_WINDOW];
    let again = proptest::option::weighted(0.2, 0..BACKWARD_WINDOW);
    (late_by, again).prop_map(|(late_by, again)| Sent { late_by, again })
}

/// The records in the order in which a network without loss delivers them.
fn arrivals(sent: &[Sent]) -> Vec<Frame> {
    let mut sealer = Sealer::new(&KEY);
    let mut arriving = Vec::new();
    for (place, sent) in (0..).zip(sent) {
        let mut frame = Frame::from_slice(b"x");
        sealer.seal(&mut frame).unwrap();
        let at = place + sent.late_by;
        arriving.push((at, place, frame.clone()));
        arriving.extend(sent.again.map(|by| (at + by, place, frame)));
    }
    arriving.sort_by_key(|(at, place, _)| (*at, *place));
    arriving.into_iter().map(|(_, _, frame)| frame).collect()
}

proptest! {
    /// Whenever the order begins: nothing that arrives is lost, told as a gap, or held for ever, and what was
    /// sealed after everything that had come by then comes out in order.
    #[test]
    fn order_that_begins_under_way_loses_nothing(
        sent in proptest::collection::vec(sent(), 1..200),
        begins in any::<proptest::sample::Index>(),
    ) {
        let arrivals = arrivals(&sent);
        let begins = begins.index(arrivals.len());
        let mut opener = Opener::new(&KEY);
        let mut order = InOrder::unordered(usize::MAX);
        let (mut seen, mut delivered) = (BTreeSet::new(), Vec::new());
        let mut behind = None;
        for (step, mut frame) in arrivals.into_iter().enumerate() {
            if step == begins {
                behind = Some(seen.last().map_or(0, |highest| highest + 1));
                order.begin();
            }
            let Ok(nonce) = opener.open(&mut frame, Tick(0)) else {
                continue;
            };
            seen.insert(nonce);
            match order.push(nonce, 1, nonce) {
                Delivery::Ready(nonce) | Delivery::Late(nonce) => delivered.push(nonce),
                Delivery::Held => prop_assert!(behind.is_some()),
                Delivery::Gap(gap) => prop_assert!(false, "{gap:?}, and nothing was lost"),
            }
            delivered.extend(std::iter::from_fn(|| order.pop()));
        }
        prop_assert!(!order.is_waiting());
        prop_assert_eq!(delivered.len(), sent.len());
        prop_assert_eq!(delivered.iter().collect::<BTreeSet<_>>().len(), sent.len());
        let behind = behind.unwrap();
        prop_assert!(delivered.iter().filter(|nonce| **nonce >= behind).is_sorted());
    }
}
