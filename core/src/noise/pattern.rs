//! Handshake patterns as token tables (Noise rev 34, 7; hybrid forward secrecy as in its draft HFS).

use super::{DH_LEN, TAG_LEN};
use crate::crypto::{CIPHERTEXT_LEN, ENCAPSULATION_KEY_LEN};

/// Who sends the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Sends messages 1 and 3.
    Initiator,
    /// Sends message 2.
    Responder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    E,
    /// An ephemeral encapsulation key.
    E1,
    S,
    Ee,
    /// A ciphertext for `e1`, and then its secret.
    Ekem1,
    Es,
    Se,
}

impl Token {
    /// Bytes that this token writes. In both patterns every static key travels encrypted, `e1` before
    /// there is a key, and its ciphertext after.
    const fn written_len(self) -> usize {
        match self {
            Self::E => DH_LEN,
            Self::E1 => ENCAPSULATION_KEY_LEN,
            Self::S => DH_LEN + TAG_LEN,
            Self::Ekem1 => CIPHERTEXT_LEN + TAG_LEN,
            Self::Ee | Self::Es | Self::Se => 0,
        }
    }
}

/// A pattern of three messages in which both sides prove a static key that they send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// `-> e    <- e, ee, s, es    -> s, se`
    Xx,
    /// `-> e, e1    <- e, ee, ekem1, s, es    -> s, se`
    XxHfs,
}

const XX: [&[Token]; 3] = [
    &[Token::E],
    &[Token::E, Token::Ee, Token::S, Token::Es],
    &[Token::S, Token::Se],
];

const XX_HFS: [&[Token]; 3] = [
    &[Token::E, Token::E1],
    &[Token::E, Token::Ee, Token::Ekem1, Token::S, Token::Es],
    &[Token::S, Token::Se],
];

impl Pattern {
    pub(super) const fn tokens(self, message: Message) -> &'static [Token] {
        let [one, two, three] = match self {
            Self::Xx => XX,
            Self::XxHfs => XX_HFS,
        };
        match message {
            Message::One => one,
            Message::Two => two,
            Message::Three => three,
        }
    }

    /// Bytes that `message` has beside its payload: keys, and tags where there is a key to make them.
    #[must_use]
    pub fn overhead(self, message: Message) -> usize {
        let tokens = self.tokens(message).iter();
        let written: usize = tokens.map(|token| token.written_len()).sum();
        match message {
            Message::One => written,
            Message::Two | Message::Three => written + TAG_LEN,
        }
    }
}

/// The three messages of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Initiator to responder.
    One,
    /// Responder to initiator.
    Two,
    /// Initiator to responder.
    Three,
}

impl Message {
    pub(super) const fn sender(self) -> Role {
        match self {
            Self::One | Self::Three => Role::Initiator,
            Self::Two => Role::Responder,
        }
    }

    pub(super) const fn next(self) -> Option<Self> {
        match self {
            Self::One => Some(Self::Two),
            Self::Two => Some(Self::Three),
            Self::Three => None,
        }
    }
}
