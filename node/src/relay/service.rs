//! The relay service: nodes with no open port register here and are reached under a name.
//!
//! A registration comes through a secure channel, so that the name is bound to an identity. The data of native clients then goes
//! over the bare connection under that channel: the relay does not encrypt what is encrypted end to end already. Clients of
//! the reference get it through the channel that they registered by, as the reference's own relays do.

use std::sync::{Arc, Mutex, Weak};

use sealway_core::relay::{
    EPHEMERAL_SERVICE, Limits, NameRecord, Registrant, Registration, STATIC_SERVICE, Table,
    data_route,
};
use sealway_core::wire::{Address, Frame, Route};

use super::forward::ForwardHop;
use super::{NATIVE_SERVICE, REFUSAL};
use crate::counters::Count;
use crate::exposure::{Access, Exposure};
use crate::message::Origin;
use crate::node::{AddressInUse, Node, Shared, lock};
use crate::router::{Endpoint, Target};
use crate::shares;
use crate::telling::Line;
use crate::transport::BoxFuture;
use crate::worker::{Context, Delivery, Worker, WorkerError};

/// Keeps the aliases of a relay for their owners.
pub trait NameStore: Send + Sync + 'static {
    /// All that are kept.
    fn load(&self) -> Vec<NameRecord>;

    /// Resolves once the record is on disk.
    ///
    /// # Errors
    /// Why it is not, for the operator; the registration is then refused.
    fn save(&self, record: NameRecord) -> BoxFuture<'_, Result<(), String>>;
}

/// How a relay serves.
pub struct RelayOptions {
    /// Who may register. The resource asked for is `relay`.
    pub access: Access,
    /// The bounds of its table.
    pub limits: Limits,
    /// Where aliases are kept; without it they are forgotten with the process.
    pub names: Option<Arc<dyn NameStore>>,
}

impl Default for RelayOptions {
    /// Any proven identity may register, within core's default quotas.
    fn default() -> Self {
        let access = Access::by(|_, _| true);
        Self {
            access,
            limits: Limits::default(),
            names: None,
        }
    }
}

/// The table of a node's relay.
pub(crate) struct RelayTable(Mutex<Table>);

impl RelayTable {
    /// A connection or channel is gone: so are the addresses that led through it.
    pub(crate) fn hop_gone(&self, node: &Shared, hop: &Address) {
        let gone = lock(&self.0).remove_behind(hop);
        for address in gone {
            node.forget(&address);
        }
    }
}

/// Registers whoever asks.
struct RelayService {
    table: Arc<RelayTable>,
    names: Option<Arc<dyn NameStore>>,
    node: Weak<Shared>,
    native: bool,
}

impl Node {
    /// Serves as a relay: natively at `sealway_relay`, in the reference's way at `forwarding_service` (ephemeral names) and
    /// `static_forwarding_service` (aliases). Callers need no channel to the relay.
    ///
    /// # Errors
    /// [`AddressInUse`].
    pub fn relay_service(&self, options: RelayOptions) -> Result<(), AddressInUse> {
        let kept = options
            .names
            .as_ref()
            .map_or_else(Vec::new, |names| names.load());
        let table = Arc::new(RelayTable(Mutex::new(Table::new(options.limits, kept))));
        if !self.shared().serve_relay(Arc::clone(&table)) {
            return Err(AddressInUse(NATIVE_SERVICE.to_owned()));
        }
        for (service, native) in [
            (NATIVE_SERVICE, true),
            (EPHEMERAL_SERVICE, false),
            (STATIC_SERVICE, false),
        ] {
            let mut exposure = Exposure::local().to_channels(options.access.clone(), "relay");
            if service == EPHEMERAL_SERVICE {
                // Without a channel there are ephemeral names only.
                exposure = exposure.to_transports();
            }
            let worker = RelayService {
                table: Arc::clone(&table),
                names: options.names.clone(),
                node: Arc::downgrade(self.shared()),
                native,
            };
            self.start_worker(service, worker, exposure)?;
        }
        Ok(())
    }
}

impl Worker for RelayService {
    type Message = Frame;

    async fn handle(
        &mut self,
        context: &mut Context,
        message: Delivery<Frame>,
    ) -> Result<(), WorkerError> {
        let Some(node) = self.node.upgrade() else {
            return Ok(());
        };
        match self.register(&node, &message).await {
            Ok((address, confirmation)) => {
                node.router.counters.one(Count::RelayRegistered);
                let line = format!("relay: {} registered {address}", who(&message.origin));
                node.tell(Count::RelayRegistered, Line::Note(line));
                // The confirmation comes from the new address: its return route tells it (reference, section 7.1).
                let to = message.return_route;
                let confirmation = Frame::from_slice(&confirmation);
                let reply =
                    crate::message::Message::new(to, crate::node::route_to(&address), confirmation);
                node.send_soon(reply);
            }
            Err(why) => {
                node.router.counters.one(Count::RelayRefused);
                let line = format!("relay: registration of {}: {why}", who(&message.origin));
                node.tell(Count::RelayRefused, Line::Refused(line));
                if self.native {
                    context.answer(message.return_route, format!("{REFUSAL}{why}!"));
                }
            }
        }
        Ok(())
    }
}

impl RelayService {
    async fn register(
        &self,
        node: &Arc<Shared>,
        message: &Delivery<Frame>,
    ) -> Result<(Address, Vec<u8>), WorkerError> {
        let registration = Registration::decode(message.payload.as_slice())?;
        let registrant = match &message.origin {
            Origin::Channel(origin, _) => Registrant::Identity(origin.peer),
            Origin::Transport(origin) => Registrant::Connection(number(&origin.link)),
            Origin::Local => Registrant::Connection(0),
        };
        let route = self.route(message)?;
        // The outermost is the host, or a channel whose connection is gone.
        let source = shares::source(node, &message.origin, &message.return_route);
        let source = source.first().map_or(0, number);
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let registered = lock(&self.table.0).register(
            &registration,
            registrant,
            source,
            route.clone(),
            node.now(),
            random,
        )?;
        if let (Some(names), Some(record)) = (&self.names, registered.persist)
            && let Err(why) = names.save(record).await
        {
            lock(&self.table.0).remove(&registered.address);
            node.forget(&registered.address);
            return Err(why.into());
        }
        let way = route.first().cloned();
        let hop = ForwardHop {
            to: Mutex::new(route),
            node: Arc::downgrade(node),
        };
        node.forget(&registered.address);
        let endpoint = Endpoint {
            exposure: Exposure::anyone(),
            target: Target::Hop(Arc::new(hop)),
        };
        node.router.insert(registered.address.clone(), endpoint);
        // Whoever hangs up while its registration still waits is not told to the table any more: its place would be taken
        // for good. What ends from here on finds the entry.
        if way.is_none_or(|way| node.router.get(&way).is_none()) {
            lock(&self.table.0).remove(&registered.address);
            node.forget(&registered.address);
            return Err("whoever asked is gone".into());
        }
        Ok((registered.address, registered.confirmation))
    }

    /// Where data for the registrant goes: native clients get it over the connection under their channel.
    fn route(&self, message: &Delivery<Frame>) -> Result<Route, WorkerError> {
        if !self.native {
            // Through anything else, as a `hop` of ours, the name would outlive whoever registered it: only the end of its
            // own connection or channel takes it out of the table.
            let leads_elsewhere = |source| message.return_route.first() != Some(source);
            if message.origin.source().is_some_and(leads_elsewhere) {
                return Err("the return route does not start with the way that it came".into());
            }
            return Ok(data_route(&message.return_route));
        }
        match &message.origin {
            Origin::Channel(origin, _) => match &origin.carrier {
                Some(carrier) => Ok(crate::node::route_to(carrier)),
                None => Err("the channel has no connection under it".into()),
            },
            Origin::Local | Origin::Transport(_) => {
                Err("native names need a secure channel".into())
            }
        }
    }
}

/// Who registers, for people.
fn who(origin: &Origin) -> String {
    origin
        .peer()
        .map_or_else(|| "a bare connection".to_owned(), ToString::to_string)
}

/// A connection's address or a host as a number, for quotas.
fn number(link: &Address) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    link.hash(&mut hasher);
    hasher.finish()
}
