//! Identities: creating, rotating, exporting, verifying.

use crate::command::KeyType;
use crate::failure::Failure;
use crate::node::ReferenceNode;
use ockam::identity::Identity;
use ockam::vault::SigningKeyType;
use serde_json::{json, Value};

impl From<KeyType> for SigningKeyType {
    fn from(key: KeyType) -> Self {
        match key {
            KeyType::Ed25519 => Self::EdDSACurve25519,
            KeyType::P256 => Self::ECDSASHA256CurveP256,
        }
    }
}

impl ReferenceNode {
    pub(crate) async fn create_identity(
        &self,
        key: KeyType,
        rotations: u32,
        rotate_to: Option<KeyType>,
    ) -> Result<Value, Failure> {
        let creation = self.node.identities_creation();
        let identifier = creation
            .identity_builder()
            .with_random_key(key.into())
            .build()
            .await?;
        for _ in 0..rotations {
            let options = creation
                .identity_builder()
                .with_random_key(rotate_to.unwrap_or(key).into())
                .build_options()
                .await?;
            creation
                .rotate_identity_with_options(&identifier, options)
                .await?;
        }
        let history = self.node.identities().export_identity(&identifier).await?;
        Ok(json!({"identifier": identifier.to_string(), "history": to_hex(&history)}))
    }

    pub(crate) async fn verify_identity(&self, history: &str) -> Result<Value, Failure> {
        let history = from_hex(history)?;
        let vault = self.node.vault().verifying_vault;
        let identity = Identity::import(None, &history, vault).await?;
        Ok(json!({
            "identifier": identity.identifier().to_string(),
            "changes": identity.changes().len(),
        }))
    }
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Result<Vec<u8>, Failure> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    match digits {
        Some(digits) if digits.len() % 2 == 0 => Ok(digits
            .chunks_exact(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect()),
        _ => Err(Failure::BadHex(text.to_owned())),
    }
}
