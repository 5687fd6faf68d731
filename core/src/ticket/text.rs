//! A ticket's text: a version, the body in base32, a checksum.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use zeroize::Zeroizing;

use super::{
    MAX_BODY, MAX_REACHES, MAX_RESOURCE, Reach, Secret, Ticket, base32, is_host_and_port,
    is_resource,
};
use crate::UnixSeconds;
use crate::channel::Suite;
use crate::crypto::sha256;
use crate::identity::{ChangeHash, Identifier};
use crate::relay::MAX_ALIAS;
use crate::wire::cbor::{Reader, Writer};
use crate::wire::{DecodeError, MultiAddr};

const PREFIX: &str = "sealway";
const VERSION: char = '1';
const CHECKSUM: usize = 5;

/// Longest multiaddr in a ticket, in bytes of its binary form.
const MAX_MULTIADDR: usize = 512;

/// A reader that does not know a field below this number cannot know what the ticket grants.
const OPTIONAL_FIELDS: u64 = 128;

mod field {
    pub(super) const EXPOSER: u64 = 0;
    pub(super) const MINIMUM_CHANGE: u64 = 1;
    pub(super) const REACHES: u64 = 2;
    pub(super) const SUITE: u64 = 3;
    pub(super) const RESOURCE: u64 = 4;
    pub(super) const SECRET: u64 = 5;
    pub(super) const EXPIRES: u64 = 6;
    pub(super) const USES: u64 = 7;
}

/// Why a text is no ticket that can be used here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// It does not start with `sealway` and a digit.
    #[error("not a ticket: a ticket starts with {PREFIX}{VERSION}")]
    Prefix,
    /// A version that this reader does not know.
    #[error("a ticket of version {version}, and this reads version {VERSION}")]
    Version {
        /// The digit in the text.
        version: char,
    },
    /// More than [`MAX_BODY`] bytes.
    #[error("too long for a ticket")]
    TooLong,
    /// A character that is no digit of base32, or an impossible length.
    #[error("a damaged ticket: a character was changed or lost")]
    Digits,
    /// The checksum does not fit: something was changed, lost or added.
    #[error("a damaged ticket: its checksum does not fit")]
    Checksum,
    /// A field that must be understood is not: the ticket is from a later release.
    #[error("the ticket has a field ({field}) that only a later release understands")]
    UnknownField {
        /// Its number.
        field: u64,
    },
    /// A suite that is not known here.
    #[error("the ticket asks for suite {suite:#06x}, which only a later release speaks")]
    UnknownSuite {
        /// Its number.
        suite: u16,
    },
    /// It names ways to the exposer, and none that is known here.
    #[error("the ticket leads only by ways that a later release knows")]
    UnknownWays,
    /// A field is absent, or has a value that no ticket has. The checksum fits, so whoever made it is wrong.
    #[error("an ill-made ticket: field {field}")]
    Field {
        /// Its number.
        field: u64,
    },
    /// The body is not what its format says.
    #[error("an ill-made ticket: {0}")]
    Body(#[from] DecodeError),
}

impl Ticket {
    /// The text: ASCII letters and digits, some 200 of them.
    ///
    /// # Errors
    /// [`TicketError::Field`] for a value beyond its bounds, [`TicketError::TooLong`].
    pub fn to_text(&self) -> Result<Zeroizing<String>, TicketError> {
        // So that the body's buffer never grows: that would leave copies of the secret behind.
        let reaches = self.reaches.iter().map(Reach::encoded_bound).sum::<usize>();
        if reaches + self.resource.len() > MAX_BODY {
            return Err(TicketError::TooLong);
        }
        let mut body = self.encode();
        // What is written can be read.
        Self::decode(&body)?;
        let checksum = checksum(&body);
        body.extend(checksum);
        let mut text = Zeroizing::new(String::with_capacity(16 + body.len() * 8 / 5));
        text.push_str(PREFIX);
        text.push(VERSION);
        base32::encode(&body, &mut text);
        Ok(text)
    }

    /// Reads a text: in lower or upper case, with white space anywhere (a line that was wrapped).
    ///
    /// # Errors
    /// [`TicketError`]. Whether it has expired is for the exposer to say.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        let mut digits = Zeroizing::new(Vec::with_capacity(text.len().min(2 * MAX_BODY)));
        for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace()) {
            if digits.len() == 2 * MAX_BODY {
                return Err(TicketError::TooLong);
            }
            digits.push(byte.to_ascii_lowercase());
        }
        let rest = digits
            .strip_prefix(PREFIX.as_bytes())
            .ok_or(TicketError::Prefix)?;
        let (version, rest) = rest.split_first().ok_or(TicketError::Prefix)?;
        let version = char::from(*version);
        match version {
            VERSION => {}
            '0'..='9' => return Err(TicketError::Version { version }),
            _ => return Err(TicketError::Prefix),
        }
        let bytes = base32::decode(rest).ok_or(TicketError::Digits)?;
        let (body, found) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or(TicketError::Checksum)?;
        if checksum(body) != *found {
            return Err(TicketError::Checksum);
        }
        Self::decode(body)
    }

    fn encode(&self) -> Zeroizing<Vec<u8>> {
        let is_first_change = self.minimum_change.as_bytes() == self.exposer.as_bytes();
        let mut body = Zeroizing::new(Vec::with_capacity(2 * MAX_BODY));
        let mut writer = Writer::new(&mut *body);
        writer.map(if is_first_change { 7 } else { 8 });
        writer
            .unsigned(field::EXPOSER)
            .bytes(self.exposer.as_bytes());
        if !is_first_change {
            let change = self.minimum_change.as_bytes();
            writer.unsigned(field::MINIMUM_CHANGE).bytes(change);
        }
        writer.unsigned(field::REACHES).array(self.reaches.len());
        for reach in &self.reaches {
            match reach {
                Reach::Direct(address) => writer.array(2).unsigned(0).bytes(&address.encode()),
                Reach::Relay {
                    relay,
                    identifier,
                    service,
                } => {
                    writer.array(if identifier.is_some() { 4 } else { 3 });
                    writer.unsigned(1).bytes(&relay.encode()).text(service);
                    match identifier {
                        Some(identifier) => writer.bytes(identifier.as_bytes()),
                        None => &mut writer,
                    }
                }
            };
        }
        writer.unsigned(field::SUITE);
        writer.unsigned(self.suite.number().into());
        writer.unsigned(field::RESOURCE).text(&self.resource);
        writer.unsigned(field::SECRET).bytes(self.secret.as_bytes());
        writer.unsigned(field::EXPIRES).unsigned(self.expires.0);
        writer.unsigned(field::USES).unsigned(self.uses.into());
        body
    }

    fn decode(body: &[u8]) -> Result<Self, TicketError> {
        if body.len() > MAX_BODY {
            return Err(TicketError::TooLong);
        }
        let mut reader = Reader::new(body);
        let mut fields = Fields::default();
        let mut items = reader.map()?;
        let mut last = None;
        while items.next(&mut reader)? {
            let number = reader.u64()?;
            if last.is_some_and(|last| number <= last) {
                return Err(TicketError::Field { field: number });
            }
            last = Some(number);
            fields.read(number, &mut reader)?;
        }
        reader.finish()?;
        fields.into_ticket()
    }
}

impl Reach {
    /// At least as many bytes as it takes in a ticket.
    fn encoded_bound(&self) -> usize {
        let (Self::Direct(address) | Self::Relay { relay: address, .. }) = self;
        let service = match self {
            Self::Direct(_) => 0,
            Self::Relay { service, .. } => service.len(),
        };
        address.encode().len() + service + 48
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM] {
    let [a, b, c, d, e, ..] = sha256(&[b"sealway/ticket/1", body]);
    [a, b, c, d, e]
}

#[derive(Default)]
struct Fields {
    exposer: Option<Identifier>,
    minimum_change: Option<ChangeHash>,
    reaches: Vec<Reach>,
    /// Ways that are not known here.
    unknown: usize,
    suite: Option<Suite>,
    resource: Option<String>,
    secret: Option<Secret>,
    expires: Option<UnixSeconds>,
    uses: Option<u32>,
}

impl Fields {
    fn read(&mut self, number: u64, reader: &mut Reader<'_>) -> Result<(), TicketError> {
        let ill = TicketError::Field { field: number };
        match number {
            field::EXPOSER => self.exposer = Some(Identifier::from_bytes(reader.byte_array()?)),
            field::MINIMUM_CHANGE => {
                self.minimum_change = Some(ChangeHash::from_bytes(reader.byte_array()?));
            }
            field::REACHES => {
                let mut items = reader.array()?;
                while items.next(reader)? {
                    if self.reaches.len() + self.unknown == MAX_REACHES {
                        return Err(ill);
                    }
                    match read_reach(reader)? {
                        Some(reach) => self.reaches.push(reach),
                        None => self.unknown += 1,
                    }
                }
            }
            field::SUITE => {
                let suite = reader.u16()?;
                let known = Suite::from_number(suite);
                self.suite = Some(known.ok_or(TicketError::UnknownSuite { suite })?);
            }
            field::RESOURCE => {
                let resource = reader.text_at_most(MAX_RESOURCE)?;
                if !is_resource(resource) {
                    return Err(ill);
                }
                self.resource = Some(resource.to_owned());
            }
            field::SECRET => self.secret = Some(Secret::from_bytes(reader.byte_array()?)),
            field::EXPIRES => self.expires = Some(UnixSeconds(reader.u64()?)),
            field::USES => {
                self.uses = Some(reader.u32().ok().filter(|uses| *uses > 0).ok_or(ill)?);
            }
            OPTIONAL_FIELDS.. => reader.skip()?,
            field => return Err(TicketError::UnknownField { field }),
        }
        Ok(())
    }

    fn into_ticket(self) -> Result<Ticket, TicketError> {
        let missing = |field| TicketError::Field { field };
        let exposer = self.exposer.ok_or(missing(field::EXPOSER))?;
        let first_change = ChangeHash::from_bytes(*exposer.as_bytes());
        if self.reaches.is_empty() {
            return Err(if self.unknown > 0 {
                TicketError::UnknownWays
            } else {
                missing(field::REACHES)
            });
        }
        Ok(Ticket {
            exposer,
            minimum_change: self.minimum_change.unwrap_or(first_change),
            reaches: self.reaches,
            suite: self.suite.ok_or(missing(field::SUITE))?,
            resource: self.resource.ok_or(missing(field::RESOURCE))?,
            secret: self.secret.ok_or(missing(field::SECRET))?,
            expires: self.expires.ok_or(missing(field::EXPIRES))?,
            uses: self.uses.ok_or(missing(field::USES))?,
        })
    }
}

/// `None` for a way, or an address in one, of a kind that is not known here: another one may be.
fn read_reach(reader: &mut Reader<'_>) -> Result<Option<Reach>, TicketError> {
    let ill = TicketError::Field {
        field: field::REACHES,
    };
    let mut items = reader.array()?;
    items.expect(reader, "kind")?;
    let kind = reader.u64()?;
    if kind > 1 {
        items.skip_rest(reader)?;
        return Ok(None);
    }
    items.expect(reader, "multiaddr")?;
    let address = match MultiAddr::decode(reader.bytes_at_most(MAX_MULTIADDR)?) {
        Ok(address) if is_host_and_port(&address) => address,
        Ok(_) => return Err(ill),
        Err(DecodeError::Unknown { .. }) => {
            items.skip_rest(reader)?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    if kind == 0 {
        items.skip_rest(reader)?;
        return Ok(Some(Reach::Direct(address)));
    }
    items.expect(reader, "service")?;
    let service = reader.text_at_most(MAX_ALIAS)?.to_owned();
    let identifier = if items.next_present(reader)? {
        Some(Identifier::from_bytes(reader.byte_array()?))
    } else {
        None
    };
    items.skip_rest(reader)?;
    Ok(Some(Reach::Relay {
        relay: address,
        identifier,
        service,
    }))
}
