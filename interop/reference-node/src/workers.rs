//! Plain workers: echo, hop, and one that tells who sent the message.

use crate::command::WorkerKind;
use crate::failure::Failure;
use crate::node::{address, ReferenceNode};
use ockam::identity::Identifier;
use ockam::{Any, Context, Result, Routed, Worker};
use ockam_core::{NeutralMessage, SecureChannelLocalInfo};
use serde_json::{json, Value};

struct Echo;

#[ockam::worker]
impl Worker for Echo {
    type Context = Context;
    type Message = NeutralMessage;

    async fn handle_message(
        &mut self,
        ctx: &mut Context,
        message: Routed<NeutralMessage>,
    ) -> Result<()> {
        let back = message.return_route().clone();
        ctx.send(back, message.into_body()?).await
    }
}

struct Hop;

#[ockam::worker]
impl Worker for Hop {
    type Context = Context;
    type Message = Any;

    async fn handle_message(&mut self, ctx: &mut Context, message: Routed<Any>) -> Result<()> {
        let forwarded = message
            .into_local_message()
            .step_forward(ctx.primary_address().clone())?;
        ctx.forward(forwarded).await
    }
}

struct Whoami;

#[ockam::worker]
impl Worker for Whoami {
    type Context = Context;
    type Message = Any;

    async fn handle_message(&mut self, ctx: &mut Context, message: Routed<Any>) -> Result<()> {
        let peer = SecureChannelLocalInfo::find_info(message.local_message())
            .map(|info| Identifier::from(info.their_identifier()).to_string())
            .unwrap_or_else(|_| "none".to_owned());
        ctx.send(message.return_route().clone(), peer).await
    }
}

impl ReferenceNode {
    pub(crate) fn start_worker(&self, worker: WorkerKind, at: &str) -> Result<Value, Failure> {
        let at = address(at)?;
        match worker {
            WorkerKind::Echo => self.node.start_worker(at.clone(), Echo)?,
            WorkerKind::Hop => self.node.start_worker(at.clone(), Hop)?,
            WorkerKind::Whoami => self.node.start_worker(at.clone(), Whoami)?,
        }
        self.add_service(&at);
        Ok(json!({}))
    }

    pub(crate) fn stop(&self, at: &str) -> Result<Value, Failure> {
        self.context().stop_address(&address(at)?)?;
        Ok(json!({}))
    }
}
