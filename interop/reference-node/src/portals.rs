//! TCP portals: outlets and inlets.

use crate::failure::Failure;
use crate::node::{address, route, ReferenceNode};
use ockam::tcp::{TcpInletOptions, TcpOutletOptions};
use ockam::transport::HostnamePort;
use serde_json::{json, Value};
use std::str::FromStr;

impl ReferenceNode {
    pub(crate) fn start_outlet(&self, at: &str, target: &str) -> Result<Value, Failure> {
        let at = address(at)?;
        let target = HostnamePort::from_str(target)?;
        self.tcp
            .create_outlet(at.clone(), target, TcpOutletOptions::new())?;
        self.add_service(&at);
        Ok(json!({}))
    }

    pub(crate) async fn start_inlet(&self, to: &str, bind: &str) -> Result<Value, Failure> {
        let inlet = self
            .tcp
            .create_inlet(bind.to_owned(), route(to)?, TcpInletOptions::new())
            .await?;
        Ok(json!({"port": inlet.socket_address().port()}))
    }
}
