//! What the running processes of a home are for: what they expose and connect to. Each says so in its status.

use sealway::home::Home;
use sealway::ticket::Offer;
use sealway_core::ticket::Reach;
use serde_json::{Value, json};

use super::status;

/// What a process is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// `expose`.
    Exposure {
        /// What its tickets have in common.
        offer: Offer,
        /// The relay that was asked for.
        via: Option<String>,
    },
    /// `connect`.
    Connection {
        /// What it is called here.
        name: String,
        /// Where it appears.
        address: String,
    },
}

impl Serving {
    /// As in a status.
    pub(super) fn described(&self) -> Value {
        match self {
            Self::Exposure { offer, via } => json!({
                "exposure": offer.resource,
                "exposer": offer.exposer.to_string(),
                "via": via,
                "ways": offer.reaches.iter().map(way).collect::<Vec<_>>(),
            }),
            Self::Connection { name, address } => json!({"connection": name, "address": address}),
        }
    }

    /// What a status says.
    fn read(status: &Value) -> Option<Self> {
        let serves = &status["serves"];
        let text = |name: &str| serves[name].as_str().map(str::to_owned);
        if let Some(name) = text("connection") {
            let address = text("address")?;
            return Some(Self::Connection { name, address });
        }
        let offer = Offer {
            exposer: text("exposer")?.parse().ok()?,
            resource: text("exposure")?,
            reaches: serves["ways"]
                .as_array()?
                .iter()
                .map(reach)
                .collect::<Option<_>>()?,
        };
        Some(Self::Exposure {
            offer,
            via: text("via"),
        })
    }
}

/// What each running process of the home is for, with its id; without those that are for nothing in particular, and this one.
pub(super) async fn all(home: &Home) -> Vec<(u64, Serving)> {
    let others = status::ask_all(home).await;
    let own = u64::from(std::process::id());
    others
        .iter()
        .filter_map(|status| Some((status["pid"].as_u64()?, Serving::read(status)?)))
        .filter(|(pid, _)| *pid != own)
        .collect()
}

/// A way to an exposer, for scripts.
pub(super) fn way(reach: &Reach) -> Value {
    match reach {
        Reach::Direct(address) => json!({"kind": "direct", "address": address.to_string()}),
        Reach::Relay {
            relay,
            identifier,
            service,
        } => json!({
            "kind": "relay",
            "address": relay.to_string(),
            "identifier": identifier.map(|identifier| identifier.to_string()),
            "service": service,
        }),
    }
}

/// The way that [`way`] has described.
fn reach(way: &Value) -> Option<Reach> {
    let text = |name: &str| way[name].as_str();
    let address = text("address")?.parse().ok()?;
    Some(match text("kind")? {
        "direct" => Reach::Direct(address),
        "relay" => Reach::Relay {
            relay: address,
            identifier: match text("identifier") {
                Some(identifier) => Some(identifier.parse().ok()?),
                None => None,
            },
            service: text("service")?.to_owned(),
        },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_is_for_is_read_as_it_was_said() {
        let exposer = "I07d9355d2fc2482f61d443a091570ab58d63ad71d718e4c5676e4d3d1c2a7a58"
            .parse()
            .expect("an identifier");
        let relay = |identifier| Reach::Relay {
            relay: "/dnsaddr/relay.example.com/tcp/4100"
                .parse()
                .expect("an address"),
            identifier,
            service: "web".to_owned(),
        };
        let direct = Reach::Direct("/ip4/192.0.2.1/tcp/4200".parse().expect("an address"));
        let exposure = |reaches, via| Serving::Exposure {
            offer: Offer {
                exposer,
                resource: "web".to_owned(),
                reaches,
            },
            via,
        };
        let all = [
            exposure(vec![direct], None),
            exposure(
                vec![relay(Some(exposer)), relay(None)],
                Some("relay.example.com:4100".to_owned()),
            ),
            Serving::Connection {
                name: "web".to_owned(),
                address: "127.0.0.1:8081".to_owned(),
            },
        ];
        for serving in all {
            let status = json!({"serves": serving.described()});
            assert_eq!(Serving::read(&status), Some(serving));
        }
        assert_eq!(Serving::read(&json!({"serves": null})), None);
        assert_eq!(Serving::read(&json!({})), None);
    }
}
