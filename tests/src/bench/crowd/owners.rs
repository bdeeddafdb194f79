//! The owners.

use anyhow::Result;
use serde_json::json;

use super::Crowd;
use crate::installation::Api;

pub(super) fn name(number: usize) -> String {
    format!("owner-{number}")
}

/// Gives each account a mail address.
pub(super) fn register(api: &Api, crowd: Crowd) -> Result<()> {
    for number in 0..crowd.owners {
        let owner = name(number);
        let body = json!({ "mail": [format!("{owner}@example.org")] });
        api.put(&format!("/v1/owners/{owner}"), &body)?.ok()?;
    }
    Ok(())
}
