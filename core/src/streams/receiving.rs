//! What a session makes of the peer's messages.

use alloc::boxed::Box;
use core::ops::Range;

use smallvec::SmallVec;

use super::MAX_WINDOW;
use super::error::SessionError;
use super::frame::{Control, Part, Parts, Reason, StreamId};
use super::session::Session;
use super::stream::{Phase, Stream};
use crate::Tick;

/// What the caller does next, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer asks for a stream: check pin and policy, connect to the target, then [`accept`](Session::accept); or
    /// [`reset`](Session::reset) with the reason. Data that comes before is kept, and none of it reaches a target that is
    /// not connected.
    Opened {
        /// Which stream.
        stream: StreamId,
        /// Where in the message the resource's name stands: UTF-8.
        resource: Range<usize>,
        /// Where in the message the first data stands; it may be empty.
        data: Range<usize>,
    },
    /// The peer has accepted a stream of ours.
    Accepted {
        /// Which stream.
        stream: StreamId,
    },
    /// Write this data behind all before, and say when it is [`consumed`](Session::consumed).
    Data {
        /// Which stream.
        stream: StreamId,
        /// Where in the message it stands.
        data: Range<usize>,
    },
    /// All data has come: once it is written, end the writing side of the socket (FIN).
    Finished {
        /// Which stream.
        stream: StreamId,
    },
    /// Drop what is not written yet, and reset the socket (RST).
    Reset {
        /// Which stream.
        stream: StreamId,
        /// Why.
        reason: Reason,
    },
}

/// Events in the order in which they are carried out.
pub type Events = SmallVec<[Event; 2]>;

impl Session {
    /// Takes a message of the peer's. All of it is read before any of it counts.
    ///
    /// # Errors
    /// [`SessionError`]: the peer broke the protocol. Close the channel, and carry out [`lost`](Session::lost).
    pub fn on_message(&mut self, message: &[u8], now: Tick) -> Result<Events, SessionError> {
        let mut events = Events::new();
        if self.is_over {
            return Ok(events);
        }
        self.is_met = true;
        let outcome = self.read(message, now, &mut events);
        self.watch_stall(now);
        self.is_over |= outcome.is_err();
        outcome.map(|()| events)
    }

    fn read(&mut self, message: &[u8], now: Tick, events: &mut Events) -> Result<(), SessionError> {
        let parts: SmallVec<[Part; 1]> = Parts::new(message)?.collect::<Result<_, _>>()?;
        for part in parts {
            match part {
                Part::Open {
                    stream,
                    limit,
                    resource,
                    data,
                } => {
                    self.on_open(stream, limit, data.len())?;
                    events.push(Event::Opened {
                        stream,
                        resource,
                        data,
                    });
                }
                Part::Data {
                    stream,
                    offset,
                    data,
                } => {
                    if self.on_data(stream, offset, data.len(), now)? {
                        events.push(Event::Data { stream, data });
                    }
                }
                Part::Control(control) => events.extend(self.on_control(control, now)?),
            }
        }
        Ok(())
    }

    fn on_open(&mut self, stream: StreamId, limit: u64, len: usize) -> Result<(), SessionError> {
        if self.is_own(stream) {
            return Err(SessionError::WrongParity { stream });
        }
        self.peer_opens.receive(stream)?;
        check_window(stream, limit, 0)?;
        let mut entry = Stream::new(Phase::Offered, limit);
        receive(&mut entry, stream, len)?;
        self.receive_channel(len)?;
        self.streams.insert(stream, Box::new(entry));
        Ok(())
    }

    /// Whether the data is of a stream that is still open.
    fn on_data(
        &mut self,
        stream: StreamId,
        offset: u64,
        len: usize,
        now: Tick,
    ) -> Result<bool, SessionError> {
        self.receive_channel(len)?;
        self.pings.on_data(now);
        let Some(entry) = self.receiving(stream)? else {
            // It came by the channel's credit, whatever became of the stream.
            self.consume_channel(len as u64, now);
            return Ok(false);
        };
        let expected = entry.incoming.received();
        if offset != expected && checks_integrity() {
            return Err(SessionError::WrongOffset {
                stream,
                got: offset,
                expected,
            });
        }
        receive(entry, stream, len)?;
        Ok(true)
    }

    fn on_control(&mut self, control: Control, now: Tick) -> Result<Option<Event>, SessionError> {
        match control {
            Control::Accept { stream, limit } => return self.on_accept(stream, limit),
            Control::Credit {
                stream,
                acknowledged,
                limit,
            } => self.on_credit(stream, acknowledged, limit)?,
            Control::Fin { stream, offset } => return self.on_fin(stream, offset, now),
            Control::Reset { stream, reason } => return self.on_reset(stream, reason, now),
            Control::ChannelCredit { limit } => raise(&mut self.limit, limit)?,
            Control::StreamCredit { count } => {
                raise(&mut self.own_allowed, count)?;
                self.give_leave();
            }
            Control::Ping { number } => self.pings.on_ping(number),
            Control::Pong { number } => self.pings.on_pong(number, now)?,
        }
        Ok(None)
    }

    fn on_accept(&mut self, stream: StreamId, limit: u64) -> Result<Option<Event>, SessionError> {
        let is_own = self.is_own(stream);
        let Some(entry) = self.known(stream)? else {
            return Ok(None);
        };
        if !is_own || entry.phase != Phase::Asked {
            return Err(SessionError::UnexpectedAccept { stream });
        }
        if limit < entry.limit {
            return Err(SessionError::CreditNotRaised {
                got: limit,
                before: entry.limit,
            });
        }
        check_window(stream, limit, 0)?;
        entry.limit = limit;
        entry.phase = Phase::Live;
        self.resume(stream);
        Ok(Some(Event::Accepted { stream }))
    }

    fn on_credit(
        &mut self,
        stream: StreamId,
        acknowledged: u64,
        limit: u64,
    ) -> Result<(), SessionError> {
        let Some(entry) = self.known(stream)? else {
            return Ok(());
        };
        if entry.phase == Phase::Asked {
            return Err(SessionError::NotAccepted { stream });
        }
        if acknowledged < entry.acknowledged || acknowledged > entry.sent {
            return Err(SessionError::WrongAcknowledgement {
                stream,
                got: acknowledged,
                sent: entry.sent,
            });
        }
        check_window(stream, limit, acknowledged)?;
        raise(&mut entry.limit, limit)?;
        entry.acknowledged = acknowledged;
        self.resume(stream);
        Ok(())
    }

    fn on_fin(
        &mut self,
        stream: StreamId,
        offset: u64,
        now: Tick,
    ) -> Result<Option<Event>, SessionError> {
        let Some(entry) = self.receiving(stream)? else {
            return Ok(None);
        };
        let received = entry.incoming.received();
        if offset != received && checks_integrity() {
            return Err(SessionError::WrongFinalOffset {
                stream,
                got: offset,
                received,
            });
        }
        entry.fin_received = true;
        if entry.has_ended() && entry.incoming.held() == 0 {
            self.remove(stream, now);
        }
        Ok(Some(Event::Finished { stream }))
    }

    fn on_reset(
        &mut self,
        stream: StreamId,
        reason: Reason,
        now: Tick,
    ) -> Result<Option<Event>, SessionError> {
        let was_dead = self
            .streams
            .get(&stream)
            .is_some_and(|entry| entry.is_dead());
        if was_dead {
            // Both ends reset it: neither needs to hear of it.
            self.remove(stream, now);
            return Ok(None);
        }
        let Some(entry) = self.known(stream)? else {
            return Ok(None);
        };
        let held = entry.incoming.held();
        self.remove(stream, now);
        self.consume_channel(held, now);
        Ok(Some(Event::Reset { stream, reason }))
    }

    /// The stream that data or a Fin is for; none if it is over.
    fn receiving(&mut self, stream: StreamId) -> Result<Option<&mut Stream>, SessionError> {
        let Some(entry) = self.known(stream)? else {
            return Ok(None);
        };
        if entry.phase == Phase::Asked {
            return Err(SessionError::NotAccepted { stream });
        }
        if entry.fin_received {
            return Err(SessionError::AfterFin { stream });
        }
        Ok(Some(entry))
    }

    /// The stream that a frame is for. Ids rise, so that one that has been and is not there is over: nothing is kept
    /// about it, and what still comes for it is ignored.
    fn known(&mut self, stream: StreamId) -> Result<Option<&mut Stream>, SessionError> {
        let has_been = self.has_been(stream);
        match self.streams.get_mut(&stream) {
            Some(entry) if entry.is_unopened() => Err(SessionError::UnknownStream { stream }),
            Some(entry) if entry.is_dead() => Ok(None),
            Some(entry) => Ok(Some(entry)),
            None if has_been => Ok(None),
            None => Err(SessionError::UnknownStream { stream }),
        }
    }

    fn receive_channel(&mut self, len: usize) -> Result<(), SessionError> {
        let limit = self.incoming.limit();
        let exceeded = |got| SessionError::ChannelCreditExceeded { got, limit };
        self.incoming.receive(len).map_err(exceeded)
    }

    /// A stream that waited for credit goes on.
    fn resume(&mut self, stream: StreamId) {
        let entry = self.streams.get_mut(&stream);
        if let Some(entry) = entry.filter(|entry| entry.can_send()) {
            self.schedule.resume(stream, &mut entry.turn);
        }
    }
}

fn receive(entry: &mut Stream, stream: StreamId, len: usize) -> Result<(), SessionError> {
    let limit = entry.incoming.limit();
    let exceeded = |got| SessionError::StreamCreditExceeded { stream, got, limit };
    entry.incoming.receive(len).map_err(exceeded)
}

fn check_window(stream: StreamId, limit: u64, acknowledged: u64) -> Result<(), SessionError> {
    let got = limit.saturating_sub(acknowledged);
    if got > MAX_WINDOW {
        let max = MAX_WINDOW;
        return Err(SessionError::WindowTooLarge { stream, got, max });
    }
    Ok(())
}

fn raise(limit: &mut u64, got: u64) -> Result<(), SessionError> {
    if got <= *limit {
        let before = *limit;
        return Err(SessionError::CreditNotRaised { got, before });
    }
    *limit = got;
    Ok(())
}

/// Whether offsets are compared; always, but for the control of the tests.
fn checks_integrity() -> bool {
    #[cfg(sealway_weaken)]
    if crate::weaken::off(crate::weaken::Check::StreamIntegrity) {
        return false;
    }
    true
}
