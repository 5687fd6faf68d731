//! Timing of operations in this process, two alternatives side by side.

use std::io;
use std::time::{Duration, Instant};

/// How often each alternative has its turn.
const TURNS: usize = 11;

/// A batch's operations and the time that they took, preparation left out.
pub(crate) type Batch = (u32, Duration);

/// Times `operations` runs of `operation`.
pub(crate) fn batch(
    operations: u32,
    mut operation: impl FnMut() -> io::Result<()>,
) -> io::Result<Batch> {
    let began = Instant::now();
    for _ in 0..operations {
        operation()?;
    }
    Ok((operations, began.elapsed()))
}

/// Seconds an operation of `ours` and of `bare`: medians over turns that alternate between the two for `duration` in all.
pub(crate) fn side_by_side(
    duration: Duration,
    mut ours: impl FnMut() -> io::Result<Batch>,
    mut bare: impl FnMut() -> io::Result<Batch>,
) -> io::Result<(f64, f64)> {
    let turn = duration / u32::try_from(2 * TURNS).map_err(io::Error::other)?;
    let (mut our_turns, mut bare_turns) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        our_turns.push(seconds_each(turn, &mut ours)?);
        bare_turns.push(seconds_each(turn, &mut bare)?);
    }
    Ok((middle(our_turns), middle(bare_turns)))
}

/// Seconds an operation, over `duration`.
pub(crate) fn alone(
    duration: Duration,
    mut run: impl FnMut() -> io::Result<Batch>,
) -> io::Result<f64> {
    seconds_each(duration, &mut run)
}

fn seconds_each(turn: Duration, run: &mut impl FnMut() -> io::Result<Batch>) -> io::Result<f64> {
    let began = Instant::now();
    let (mut operations, mut spent) = (0_u64, Duration::ZERO);
    while operations == 0 || began.elapsed() < turn {
        let (count, time) = run()?;
        operations += u64::from(count);
        spent += time;
    }
    Ok(spent.as_secs_f64() / operations as f64)
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
