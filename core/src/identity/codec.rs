//! What all signed objects share in CBOR (reference, sections 0.1 and 3.1).

use alloc::vec::Vec;

use super::SignedDataError;
use crate::crypto::{KeyType, Signature, VerifyingKey, sha256};
use crate::wire::DecodeError;
use crate::wire::cbor::{Items, Reader, Sink, Writer};

/// The only version of signed data.
const VERSION: u8 = 1;

/// Kinds of signed data (reference, section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DataType {
    Change = 1,
    PurposeKeyAttestation = 2,
}

/// Wraps `data` as `VersionedData`, the bytes that are hashed and signed.
pub(crate) fn wrap(data_type: DataType, data: &[u8]) -> Vec<u8> {
    let mut writer = Writer::vec();
    writer
        .array(3)
        .unsigned(VERSION.into())
        .unsigned(data_type as u64)
        .bytes(data);
    writer.into_sink()
}

/// The data inside a `VersionedData` of the expected type.
pub(crate) fn unwrap(wrapped: &[u8], data_type: DataType) -> Result<&[u8], SignedDataError> {
    let mut reader = Reader::new(wrapped);
    let mut fields = reader.array()?;
    fields.expect(&mut reader, "version")?;
    let got = reader.u64()?;
    if got != u64::from(VERSION) {
        return Err(SignedDataError::Version { got });
    }
    fields.expect(&mut reader, "data_type")?;
    let got = reader.u64()?;
    if got != data_type as u64 {
        let expected = data_type as u8;
        return Err(SignedDataError::DataType { got, expected });
    }
    fields.expect(&mut reader, "data")?;
    let data = reader.bytes()?;
    fields.skip_rest(&mut reader)?;
    Ok(data)
}

/// What is signed: SHA-256 of the wrapped data.
pub(crate) fn digest(wrapped: &[u8]) -> [u8; 32] {
    sha256(&[wrapped])
}

/// An enum of the derive rules: `[variant, [fields]]`.
pub(crate) struct Variant {
    pub(crate) number: u64,
    fields: Items,
    outer: Items,
}

impl Variant {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut outer = reader.array()?;
        outer.expect(reader, "variant")?;
        let number = reader.u64()?;
        outer.expect(reader, "fields")?;
        let fields = reader.array()?;
        Ok(Self {
            number,
            fields,
            outer,
        })
    }

    /// Goes on to a field.
    pub(crate) fn field(
        &mut self,
        reader: &mut Reader<'_>,
        name: &'static str,
    ) -> Result<(), DecodeError> {
        self.fields.expect(reader, name)
    }

    /// Skips what newer versions may have added.
    pub(crate) fn finish(self, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
        self.fields.skip_rest(reader)?;
        self.outer.skip_rest(reader)
    }
}

pub(crate) fn read_verifying_key(reader: &mut Reader<'_>) -> Result<VerifyingKey, DecodeError> {
    let mut variant = Variant::read(reader)?;
    variant.field(reader, "public key")?;
    let key = match variant.number {
        0 => VerifyingKey::Ed25519(reader.byte_array()?),
        1 => VerifyingKey::P256(reader.byte_array()?),
        value => {
            let what = "public key type";
            return Err(DecodeError::Unknown { what, value });
        }
    };
    variant.finish(reader)?;
    Ok(key)
}

pub(crate) fn read_signature(reader: &mut Reader<'_>) -> Result<Signature, DecodeError> {
    let mut variant = Variant::read(reader)?;
    variant.field(reader, "signature")?;
    let signature = match variant.number {
        0 => Signature::Ed25519(reader.byte_array()?),
        1 => Signature::P256(reader.byte_array()?),
        value => {
            let what = "signature type";
            return Err(DecodeError::Unknown { what, value });
        }
    };
    variant.finish(reader)?;
    Ok(signature)
}

pub(crate) fn write_verifying_key<S: Sink>(writer: &mut Writer<S>, key: &VerifyingKey) {
    write_typed_bytes(writer, key.key_type(), key.as_bytes());
}

pub(crate) fn write_signature<S: Sink>(writer: &mut Writer<S>, signature: &Signature) {
    write_typed_bytes(writer, signature.key_type(), signature.as_bytes());
}

fn write_typed_bytes<S: Sink>(writer: &mut Writer<S>, key_type: KeyType, bytes: &[u8]) {
    let variant = match key_type {
        KeyType::Ed25519 => 0,
        KeyType::P256 => 1,
    };
    writer.array(2).unsigned(variant).array(1).bytes(bytes);
}
