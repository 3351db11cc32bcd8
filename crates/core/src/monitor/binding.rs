//! What an approval is bound to, and who named the caller.

use crate::bundle::Bundle;
use crate::caller::Caller;
use crate::digest::{Binding, Hasher};
use crate::ids::Operation;
use crate::json::Json;
use crate::ports::{Commitments, Fault};
use crate::record::Asserter;

use super::{Judgement, Proposal};

/// All that an approval is bound to: caller and who named it, operation at contract version and pin, arguments with their numbers as
/// they were spelled, what else the message says, bundle.
pub(super) fn binding(bundle: &Bundle, proposal: &Proposal, judgement: &Judgement) -> Option<Binding> {
    let contract = &judgement.tool.as_ref()?.contract;
    let arguments = judgement.canonical.as_ref()?;
    let spelled = Json::parse(proposal.arguments()).map(|json| match (json, &contract.operation) {
        // The parameters of a method stand beside the protocol's own envelope, which differs from one sending to the next.
        (Json::Object(mut members), Operation::Method(_)) => {
            members.retain(|(key, _)| key != "_meta");
            Json::Object(members).spelled()
        }
        (json, _) => json.spelled(),
    });
    let caller = &proposal.caller;
    let mut hasher = Hasher::new("refmon/binding/v3");
    for part in [
        caller.tenant().as_str().as_bytes(),
        caller.user().as_str().as_bytes(),
        caller.agent().as_str().as_bytes(),
        contract.action().as_bytes(),
        contract.pin.as_ref().map_or(&[][..], |pin| pin.as_bytes()),
        arguments.as_bytes(),
        spelled.unwrap_or_default().as_bytes(),
        proposal.beside.as_bytes(),
        bundle.digest().as_bytes(),
    ] {
        hasher.part(part);
    }
    if let Some(host) = caller.asserted_by() {
        hasher.part(host.kind().as_str().as_bytes());
        hasher.part(host.user().as_str().as_bytes());
        hasher.part(host.agent().as_str().as_bytes());
    }
    Some(Binding::from_bytes(hasher.finish()))
}

/// The host that named a caller, as records have it.
pub(super) fn asserter(commitments: &dyn Commitments, caller: &Caller) -> Result<Option<Asserter>, Fault> {
    let Some(host) = caller.asserted_by() else { return Ok(None) };
    let subject = commitments.subject(host)?;
    Ok(Some(Asserter { subject, agent: host.agent().clone(), identity: host.kind() }))
}
