//! The relay service, and registering at one.

use crate::failure::Failure;
use crate::node::{route, ReferenceNode};
use ockam::remote::RemoteRelayOptions;
use ockam::{Address, RelayService, RelayServiceOptions};
use serde_json::{json, Value};

/// Where ephemeral relays are asked for (protocol description, section 7.1).
const EPHEMERAL: &str = "forwarding_service";
/// Where named relays are asked for.
const NAMED: &str = "static_forwarding_service";

impl ReferenceNode {
    pub(crate) fn start_relay_service(&self, prefix: &str) -> Result<Value, Failure> {
        let mut options = RelayServiceOptions::new().alias(NAMED).prefix(prefix);
        // The relays themselves get their addresses later, so these cover only what listens by now.
        for source in self.sources() {
            options = options.relay_as_consumer(&source);
        }
        RelayService::create(self.context(), EPHEMERAL, options)?;
        self.add_service(&Address::from(EPHEMERAL));
        self.add_service(&Address::from(NAMED));
        Ok(json!({}))
    }

    pub(crate) async fn register(&self, at: &str, alias: Option<String>) -> Result<Value, Failure> {
        let at = route(at)?;
        let options = RemoteRelayOptions::new();
        let relay = match alias {
            Some(alias) => self.node.create_static_relay(at, alias, options).await?,
            None => self.node.create_relay(at, options).await?,
        };
        Ok(json!({
            "relay": relay.remote_address(),
            "route": relay.forwarding_route().to_string(),
        }))
    }
}
