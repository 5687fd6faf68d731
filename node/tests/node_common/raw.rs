//! A peer that is no node: it says what it likes, over a real TCP connection.

#![allow(dead_code, reason = "each test file uses a part")]

use std::sync::Arc;

use sealway::Node;
use sealway::core::channel::{
    AwaitMessage2, Initiator, LocalParty, Opener, Sealer, Suite, Trust, message as plaintext,
};
use sealway::core::wire::tcp::{self, Deframer};
use sealway::core::wire::{Address, Frame, Route, RoutingMessage, encode_routing};
use sealway::core::{Tick, UnixSeconds};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// A routing message as it came.
#[derive(Clone, Debug)]
pub(crate) struct Came {
    pub(crate) onward: Route,
    pub(crate) return_route: Route,
    pub(crate) payload: Vec<u8>,
}

/// A bare connection to a node.
pub(crate) struct Raw {
    pub(crate) socket: TcpStream,
    deframer: Deframer,
}

pub(crate) fn now() -> UnixSeconds {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixSeconds(since.expect("after 1970").as_secs())
}

/// An identity of its own, in the reference's suite.
pub(crate) fn party() -> Arc<LocalParty> {
    party_in(Suite::Classical)
}

/// An identity of its own.
pub(crate) fn party_in(suite: Suite) -> Arc<LocalParty> {
    let node = Node::builder().ephemeral_identity().start();
    let parties = node.parties().expect("an identity");
    Arc::clone(parties.of(suite).expect("a key for each suite"))
}

pub(crate) fn rng() -> impl sealway::core::crypto::CryptoRng {
    rand_core::UnwrapErr(getrandom::SysRng)
}

impl Raw {
    /// Connects and sends the version byte.
    pub(crate) async fn connect(address: &str) -> Self {
        let mut raw = Self::silent(address).await;
        raw.socket
            .write_all(&[tcp::VERSION])
            .await
            .expect("written");
        raw
    }

    /// Connects and sends nothing.
    pub(crate) async fn silent(address: &str) -> Self {
        Self::over(TcpStream::connect(address).await.expect("it listens"))
    }

    /// As [`Raw::connect`], from another address of this host.
    pub(crate) async fn connect_from(own: &str, address: &str) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let own = format!("{own}:0").parse().expect("an address");
        socket.bind(own).expect("it is ours");
        let connected = socket.connect(address.parse().expect("an address")).await;
        let mut raw = Self::over(connected.expect("it listens"));
        raw.socket
            .write_all(&[tcp::VERSION])
            .await
            .expect("written");
        raw
    }

    /// Reads what has come by now and drops it, so that nothing of the node's waits for this end.
    pub(crate) fn discard(&self) {
        let mut sink = [0; 16 << 10];
        while self.socket.try_read(&mut sink).is_ok_and(|read| read > 0) {}
    }

    fn over(socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("a socket");
        Self {
            socket,
            deframer: Deframer::new(),
        }
    }

    /// Sends a frame around any bytes. The node may have closed the connection.
    pub(crate) async fn send_frame(&mut self, bytes: &[u8]) {
        let header = tcp::frame_header(bytes.len()).expect("short enough");
        let _ = self.socket.write_all(&[&header[..], bytes].concat()).await;
    }

    pub(crate) async fn send(&mut self, onward: &Route, return_route: &Route, payload: &[u8]) {
        let mut frame = Frame::from_slice(payload);
        encode_routing(&mut frame, onward, return_route);
        self.send_frame(frame.as_slice()).await;
    }

    /// The next message; `None` once the node has closed the connection.
    pub(crate) async fn receive(&mut self) -> Option<Came> {
        let frame = loop {
            if let Some(frame) = self.deframer.next_frame().expect("frames") {
                break frame;
            }
            match self.socket.read_buf(self.deframer.room()).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        };
        let message = RoutingMessage::decode(frame.as_slice()).expect("a routing message");
        Some(Came {
            payload: frame.as_slice()[message.payload].to_vec(),
            onward: message.onward,
            return_route: message.return_route,
        })
    }

    /// Resolves when the node has closed the connection.
    pub(crate) async fn closed(&mut self) {
        while self.receive().await.is_some() {}
    }

    /// Message 1 to `listener`; answers come to `own`.
    pub(crate) async fn start(
        &mut self,
        party: &Arc<LocalParty>,
        listener: &str,
        own: &str,
    ) -> AwaitMessage2 {
        let (message1, state) = Initiator::start(party, &Address::local(listener), &mut rng());
        self.send(&one(listener), &one(own), &message1).await;
        state
    }

    /// A secure channel, as the reference opens one.
    pub(crate) async fn open(
        &mut self,
        party: &Arc<LocalParty>,
        listener: &str,
        own: &str,
    ) -> RawChannel {
        let state = self.start(party, listener, own).await;
        let message2 = self.receive().await.expect("message 2");
        let Ok(verified) = state.read_message2(&message2.payload, now(), &Trust::Everyone) else {
            panic!("message 2 is not good");
        };
        let (message3, established) = verified.write_message3().expect("message 3");
        let to = message2.return_route;
        self.send(&to, &one(own), &message3).await;
        let (sealer, opener) = established.session.split();
        RawChannel { to, sealer, opener }
    }
}

pub(crate) fn one(address: &str) -> Route {
    std::iter::once(Address::local(address)).collect()
}

/// An open channel of a [`Raw`].
pub(crate) struct RawChannel {
    /// The node's decryptor.
    pub(crate) to: Route,
    pub(crate) sealer: Sealer,
    pub(crate) opener: Opener,
}

impl RawChannel {
    /// The ciphertext of any plaintext.
    pub(crate) fn seal(&mut self, plaintext: &[u8]) -> Vec<u8> {
        let mut frame = Frame::from_slice(plaintext);
        self.sealer.seal(&mut frame).expect("nonces are left");
        frame.as_slice().to_vec()
    }

    /// The ciphertext of a message.
    pub(crate) fn message(&mut self, onward: &str, back: &str, payload: &[u8]) -> Vec<u8> {
        let mut frame = Frame::from_slice(payload);
        plaintext::encode_payload(&mut frame, &one(onward), &one(back));
        self.seal(frame.as_slice())
    }

    /// What a ciphertext of the node says.
    pub(crate) fn opened(&mut self, ciphertext: &[u8]) -> (plaintext::Plaintext, Vec<u8>) {
        let mut frame = Frame::from_slice(ciphertext);
        self.opener
            .open(&mut frame, Tick(0))
            .expect("it is for this channel");
        let plaintext = plaintext::decode(frame.as_slice()).expect("a message");
        (plaintext, frame.as_slice().to_vec())
    }
}
