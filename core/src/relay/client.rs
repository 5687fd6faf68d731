//! The side that registers.

use alloc::string::String;

use super::registration::{Registration, native_name};
use crate::identity::Identifier;
use crate::wire::bare::Reader;
use crate::wire::{Address, DecodeError, Route};

/// Why a relay's answer does not confirm a registration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfirmationError {
    /// The payload is no BARE string.
    #[error("the relay's answer cannot be read: {0}")]
    Malformed(#[from] DecodeError),
    /// The relay confirms another name than was asked for.
    #[error("the relay confirms a name that does not end with `{expected}`")]
    OtherName {
        /// The name that was asked for.
        expected: String,
    },
    /// The relay does not say where it forwards from.
    #[error("the relay's answer has no return route")]
    NoAddress,
}

/// Reads a relay's confirmation of `registration` by `own` identity, and gives the relay's address.
///
/// The payload must end with the name that was asked for: Rust relays send the full address,
/// Elixir relays the alias. For an ephemeral name it may be anything. The address is the last hop
/// of the confirmation's return route.
///
/// # Errors
/// [`ConfirmationError`]; the registration then does not stand.
pub fn accept_confirmation(
    registration: &Registration,
    own: &Identifier,
    payload: &[u8],
    return_route: &Route,
) -> Result<Address, ConfirmationError> {
    let confirmed = Reader::new(payload).string()?;
    let expected = match registration {
        Registration::Ephemeral => String::new(),
        Registration::Alias(alias) => alias.clone(),
        Registration::Native { service } => native_name(own, service),
    };
    if !confirmed.ends_with(&expected) {
        return Err(ConfirmationError::OtherName { expected });
    }
    return_route
        .last()
        .cloned()
        .ok_or(ConfirmationError::NoAddress)
}

/// What a message to the client's own registering address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelayedTo {
    /// For the registering worker itself: a confirmation.
    Service,
    /// Relayed, and to be delivered to what is now first in the onward route, with the rights of
    /// the origin that it came by.
    Next,
    /// It names the registering worker again and would turn in circles.
    Refused,
}

/// Takes the registering worker's own address off a message's onward route.
///
/// Relays of the Elixir reference keep that address in the route of every relayed message; those
/// of the Rust reference leave it out, and such a message never comes here.
pub fn relayed(onward: &mut Route, own: &Address) -> RelayedTo {
    onward.pop_front();
    match onward.first() {
        None => RelayedTo::Service,
        Some(next) if next == own => RelayedTo::Refused,
        Some(_) => RelayedTo::Next,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bare::string_payload;

    fn accepted(
        registration: &Registration,
        confirmed: &str,
    ) -> Result<Address, ConfirmationError> {
        let back = "0#forward_to_x".parse().expect("a route");
        let own = Identifier::from_bytes([1; 32]);
        accept_confirmation(registration, &own, &string_payload(confirmed), &back)
    }

    #[test]
    fn confirmations_of_all_references_are_accepted() {
        let alias = Registration::Alias("bob".into());
        for confirmed in ["forward_to_bob", "bob"] {
            assert_eq!(accepted(&alias, confirmed), Ok("forward_to_x".into()));
        }
        for confirmed in ["register", "forward_to_0123"] {
            assert!(accepted(&Registration::Ephemeral, confirmed).is_ok());
        }
    }

    #[test]
    fn confirmations_of_other_names_are_refused() {
        let alias = Registration::Alias("bob".into());
        assert!(accepted(&alias, "forward_to_bobby").is_err());
        let native = Registration::Native {
            service: "db".into(),
        };
        // What a reference relay would confirm, as it knows aliases only.
        assert!(accepted(&native, "forward_to_sealway/relay/1/db").is_err());
        let name = native_name(&Identifier::from_bytes([1; 32]), "db");
        assert!(accepted(&native, &name).is_ok());
    }

    #[test]
    fn a_confirmation_without_an_address_is_refused() {
        let own = Identifier::from_bytes([1; 32]);
        assert_eq!(
            accept_confirmation(
                &Registration::Ephemeral,
                &own,
                &string_payload("register"),
                &Route::new()
            ),
            Err(ConfirmationError::NoAddress)
        );
    }

    #[test]
    fn both_data_paths_are_told_from_service_messages() {
        let own = Address::from("main");
        let relayed_by = |text: &str| {
            let mut onward: Route = text.parse().expect("a route");
            (relayed(&mut onward, &own), onward.len())
        };
        assert_eq!(relayed_by("main"), (RelayedTo::Service, 0));
        assert_eq!(relayed_by("main => api"), (RelayedTo::Next, 1));
        assert_eq!(relayed_by("main => main => api"), (RelayedTo::Refused, 2));
    }
}
