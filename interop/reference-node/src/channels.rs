//! Secure channels in both roles.

use crate::failure::Failure;
use crate::node::{address, identifier, route, ReferenceNode};
use ockam::identity::{
    SecureChannelListenerOptions, SecureChannelOptions, SecureChannelRegistryEntry,
    TrustIdentifierPolicy,
};
use serde_json::{json, Value};
use std::time::{Duration, Instant};

/// The reference tells nobody when a channel comes or goes; its registry is asked this often.
const REGISTRY_INTERVAL: Duration = Duration::from_millis(5);

impl ReferenceNode {
    pub(crate) fn listen_for_channels(
        &self,
        identity: &str,
        at: &str,
        peer: Option<&str>,
    ) -> Result<Value, Failure> {
        let at = address(at)?;
        let mut options = SecureChannelListenerOptions::new();
        if let Some(peer) = peer {
            options = options.with_trust_policy(TrustIdentifierPolicy::new(identifier(peer)?));
        }
        let source = options.spawner_flow_control_id();
        let identity = identifier(identity)?;
        self.node
            .create_secure_channel_listener(&identity, at.clone(), options)?;
        self.add_service(&at);
        self.add_source(&source);
        Ok(json!({}))
    }

    pub(crate) async fn open_channel(
        &self,
        identity: &str,
        over: &str,
        peer: Option<&str>,
        timeout_ms: u64,
    ) -> Result<Value, Failure> {
        let mut options =
            SecureChannelOptions::new().with_timeout(Duration::from_millis(timeout_ms));
        if let Some(peer) = peer {
            options = options.with_trust_policy(TrustIdentifierPolicy::new(identifier(peer)?));
        }
        let source = options.producer_flow_control_id();
        let channel = self
            .node
            .create_secure_channel(&identifier(identity)?, route(over)?, options)
            .await?;
        self.add_source(&source);
        Ok(json!({
            "address": channel.encryptor_address().to_string(),
            "peer": channel.their_identifier().to_string(),
        }))
    }

    fn open_channels(&self) -> Vec<SecureChannelRegistryEntry> {
        let channels = self.node.secure_channels();
        channels.secure_channel_registry().get_channel_list()
    }

    pub(crate) fn list_channels(&self) -> Value {
        let channels: Vec<Value> = self.open_channels().iter().map(describe).collect();
        json!({"channels": channels})
    }

    pub(crate) async fn await_channel(
        &self,
        peer: &str,
        timeout_ms: u64,
    ) -> Result<Value, Failure> {
        let peer = identifier(peer)?;
        poll("an open channel", timeout_ms, || {
            let channels = self.open_channels();
            channels
                .iter()
                .find(|channel| *channel.their_id() == peer)
                .map(describe)
        })
        .await
    }

    pub(crate) async fn await_closed(&self, at: &str, timeout_ms: u64) -> Result<Value, Failure> {
        let at = address(at)?;
        poll("the end of the channel", timeout_ms, || {
            let channels = self.open_channels();
            let gone = channels
                .iter()
                .all(|channel| *channel.encryptor_messaging_address() != at);
            gone.then(|| json!({}))
        })
        .await
    }

    pub(crate) fn close_channel(&self, at: &str) -> Result<Value, Failure> {
        self.node
            .secure_channels()
            .stop_secure_channel(self.context(), &address(at)?)?;
        Ok(json!({}))
    }
}

fn describe(channel: &SecureChannelRegistryEntry) -> Value {
    json!({
        "address": channel.encryptor_messaging_address().to_string(),
        "initiator": channel.is_initiator(),
        "mine": channel.my_id().to_string(),
        "peer": channel.their_id().to_string(),
    })
}

async fn poll(
    awaited: &'static str,
    timeout_ms: u64,
    mut look: impl FnMut() -> Option<Value>,
) -> Result<Value, Failure> {
    let deadline = Instant::now() + Duration::from_millis(timeout_ms);
    loop {
        if let Some(seen) = look() {
            return Ok(seen);
        }
        if Instant::now() >= deadline {
            return Err(Failure::Timeout {
                awaited,
                timeout_ms,
            });
        }
        tokio::time::sleep(REGISTRY_INTERVAL).await;
    }
}
