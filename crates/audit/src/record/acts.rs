//! Acts: what a person changed for a tenant.

use refmon_core::ids::{AgentId, GrantId, Scope, SubjectHandle, TenantId};
use refmon_core::record::{Act, Deed};

use super::RecordError;
use super::body::{Out, Written, read_commitment, read_id, read_moment, write_commitment, write_list, write_moment};
use super::numbers::{Numbered as _, deed};
use super::strict::Strict;

pub(super) fn write(out: &mut Out, act: &Act) -> Written {
    out.array(5)?;
    write_moment(out, act.at)?;
    out.str(act.tenant.as_str())?.bytes(act.by.as_bytes())?.u64(act.identity.number())?;
    match &act.deed {
        Deed::Granted { grant, to, agent, scopes, until_us, reason } => {
            out.array(7)?.u64(deed::GRANTED)?.bytes(grant.as_bytes())?.bytes(to.as_bytes())?;
            match agent {
                Some(agent) => out.str(agent.as_str())?,
                None => out.null()?,
            };
            write_list(out, scopes, |out, scope| out.str(scope.as_str())?.ok())?;
            out.u64(*until_us)?;
            write_commitment(out, Some(reason))
        }
        Deed::Revoked { grant } => out.array(2)?.u64(deed::REVOKED)?.bytes(grant.as_bytes())?.ok(),
        Deed::Halted => out.array(1)?.u64(deed::HALTED)?.ok(),
        Deed::Resumed => out.array(1)?.u64(deed::RESUMED)?.ok(),
    }
}

pub(super) fn read(input: &mut Strict<'_>) -> Result<Act, RecordError> {
    input.tuple(5)?;
    let at = read_moment(input)?;
    let tenant = read_id(input, TenantId::parse)?;
    let by = SubjectHandle::from_bytes(input.bytes()?);
    let identity = input.member()?;
    let offset = input.position();
    let items = input.array()?;
    let deed = match (input.uint()?, items) {
        (deed::GRANTED, 7) => granted(input)?,
        (deed::REVOKED, 2) => Deed::Revoked { grant: GrantId::from_bytes(input.bytes()?) },
        (deed::HALTED, 1) => Deed::Halted,
        (deed::RESUMED, 1) => Deed::Resumed,
        _ => return input.refuse(offset, "a deed of a person"),
    };
    Ok(Act { at, tenant, by, identity, deed })
}

fn granted(input: &mut Strict<'_>) -> Result<Deed, RecordError> {
    let grant = GrantId::from_bytes(input.bytes()?);
    let to = SubjectHandle::from_bytes(input.bytes()?);
    let agent = input.optional(|input| read_id(input, AgentId::parse))?;
    let scopes = input.list(|input| read_id(input, Scope::parse))?;
    let until_us = input.uint()?;
    let at = input.position();
    match read_commitment(input)? {
        Some(reason) => Ok(Deed::Granted { grant, to, agent, scopes, until_us, reason }),
        None => input.refuse(at, "a commitment to a reason"),
    }
}
