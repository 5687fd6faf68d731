//! Sending strings and awaiting what comes back.

use crate::failure::Failure;
use crate::node::{route, ReferenceNode};
use ockam::access_control::AllowAll;
use ockam::{Address, Context, Mailboxes, MessageReceiveOptions, MessageSendReceiveOptions, Route};
use serde_json::{json, Value};
use std::sync::Arc;
use std::time::Duration;

impl ReferenceNode {
    pub(crate) async fn request(
        &self,
        to: &str,
        text: String,
        timeout_ms: u64,
    ) -> Result<Value, Failure> {
        let options =
            MessageSendReceiveOptions::new().with_timeout(Duration::from_millis(timeout_ms));
        let reply = self
            .context()
            .send_and_receive_extended::<String, String>(route(to)?, text, options)
            .await?;
        let return_route = reply.return_route().to_string();
        Ok(json!({"text": reply.into_body()?, "return_route": return_route}))
    }

    pub(crate) async fn exchange(
        &self,
        to: &str,
        count: u64,
        length: usize,
        timeout_ms: u64,
    ) -> Result<Value, Failure> {
        let to = route(to)?;
        let mut correspondent = self.correspondent(&to)?;
        for index in 0..count {
            let sent = format!("{index:0>length$}");
            correspondent.send(to.clone(), sent.clone()).await?;
            let options =
                MessageReceiveOptions::new().with_timeout(Duration::from_millis(timeout_ms));
            let reply = correspondent.receive_extended::<String>(options).await?;
            let got = reply.into_body()?;
            if got != sent {
                return Err(Failure::WrongEcho { index, sent, got });
            }
        }
        Ok(json!({"count": count}))
    }

    /// A mailbox for a whole exchange, allowed to receive what comes back over the first hop of `to`.
    fn correspondent(&self, to: &Route) -> Result<Context, Failure> {
        let mailbox = Address::random_local();
        let controls = self.node.flow_controls();
        if let Some(producer) = controls.find_flow_control_with_producer_address(to.next()?) {
            controls.add_consumer(&mailbox, producer.flow_control_id());
        }
        let mailboxes = Mailboxes::primary(mailbox, Arc::new(AllowAll), Arc::new(AllowAll));
        Ok(self.context().new_detached_with_mailboxes(mailboxes)?)
    }
}
