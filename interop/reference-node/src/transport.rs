//! TCP listeners and connections.

use crate::failure::Failure;
use crate::node::{address, ReferenceNode};
use ockam::tcp::{TcpConnectionOptions, TcpListenerOptions};
use serde_json::{json, Value};

impl ReferenceNode {
    pub(crate) async fn listen(&self, bind: &str) -> Result<Value, Failure> {
        let options = TcpListenerOptions::new();
        self.add_source(&options.spawner_flow_control_id());
        let listener = self.tcp.listen(bind, options).await?;
        Ok(json!({"port": listener.socket_address().port()}))
    }

    pub(crate) async fn connect(&self, peer: &str) -> Result<Value, Failure> {
        let options = TcpConnectionOptions::new();
        self.add_source(&options.flow_control_id());
        let connection = self.tcp.connect(peer, options).await?;
        Ok(json!({"address": connection.sender_address().to_string()}))
    }

    pub(crate) fn disconnect(&self, sender: &str) -> Result<Value, Failure> {
        self.tcp.disconnect(address(sender)?)?;
        Ok(json!({}))
    }
}
