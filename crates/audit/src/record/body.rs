//! The kinds of records, each a fixed-order array.

use std::convert::Infallible;

use minicbor::Encoder;
use refmon_core::digest::{BundleDigest, Pin};
use refmon_core::ids::{
    AgentId, ApprovalKind, CallId, GrantId, HoldId, IdError, Operation, PolicyId, ServerName, SubjectHandle, TenantId,
    ToolName, TrajectoryId,
};
use refmon_core::limits;
use refmon_core::ports::Moment;
use refmon_core::record::{
    Act, Asked, Asserter, Attempt, Commitment, Completion, Deed, Event, Indeterminate, Notice, Record, Resolution,
    Share,
};

use super::numbers::{Numbered, asked, event, kind, operation};
use super::strict::{LIST_ITEMS_MAX, Strict};
use super::{RecordError, acts};

pub(super) type Out = Encoder<Vec<u8>>;
pub(super) type Written = Result<(), minicbor::encode::Error<Infallible>>;
type Result<T, E = RecordError> = std::result::Result<T, E>;

/// Bytes in the name of an argument.
const ARGUMENT_NAME_BYTES_MAX: usize = 4_096;

pub(super) fn encode(record: &Record) -> Result<(u8, Vec<u8>)> {
    let mut out = Encoder::new(Vec::with_capacity(512));
    let (kind, written) = match record {
        Record::Attempt(attempt) => {
            bounded(attempt)?;
            (kind::ATTEMPT, write_attempt(&mut out, attempt))
        }
        Record::Completion(completion) => (kind::COMPLETION, write_completion(&mut out, completion)),
        Record::Indeterminate(end) => (kind::INDETERMINATE, write_indeterminate(&mut out, end)),
        Record::Resolution(resolution) => (kind::RESOLUTION, write_resolution(&mut out, resolution)),
        Record::Notice(notice) => (kind::NOTICE, write_notice(&mut out, notice)),
        Record::Act(act) => {
            short(act)?;
            (kind::ACT, acts::write(&mut out, act))
        }
    };
    // Writing to a vector cannot fail; the encoder's error type has a case that does not occur.
    written.map_err(|_| RecordError::TooLarge)?;
    Ok((kind, out.into_writer()))
}

pub(super) fn decode(kind: u8, input: &mut Strict<'_>) -> Result<Record> {
    Ok(match kind {
        kind::ATTEMPT => Record::Attempt(Box::new(read_attempt(input)?)),
        kind::COMPLETION => Record::Completion(read_completion(input)?),
        kind::INDETERMINATE => Record::Indeterminate(read_indeterminate(input)?),
        kind::RESOLUTION => Record::Resolution(read_resolution(input)?),
        kind::NOTICE => Record::Notice(read_notice(input)?),
        kind::ACT => Record::Act(Box::new(acts::read(input)?)),
        unknown => return Err(RecordError::UnknownKind(unknown.into())),
    })
}

fn bounded(attempt: &Attempt) -> Result<()> {
    let lists = [
        attempt.policies.len(),
        attempt.approvals.len(),
        attempt.obligations.len(),
        attempt.argument_names.len(),
        attempt.grants.len(),
    ];
    let fits = lists.into_iter().all(|items| items as u64 <= LIST_ITEMS_MAX)
        && attempt.argument_names.iter().all(|name| name.len() <= ARGUMENT_NAME_BYTES_MAX);
    if fits { Ok(()) } else { Err(RecordError::TooLarge) }
}

fn short(act: &Act) -> Result<()> {
    match &act.deed {
        Deed::Granted { scopes, .. } if scopes.len() as u64 > LIST_ITEMS_MAX => Err(RecordError::TooLarge),
        Deed::Granted { .. } | Deed::Revoked { .. } | Deed::Halted | Deed::Resumed => Ok(()),
    }
}

// === attempts ===

fn write_attempt(out: &mut Out, attempt: &Attempt) -> Written {
    // What is not there is left out at the end, so that most records, and all from before there was any, are shorter.
    let items = match (&attempt.asserted_by, attempt.grants.is_empty()) {
        (None, true) => 21,
        (None, false) => 22,
        (Some(_), _) => 23,
    };
    out.array(items)?.bytes(attempt.call.as_bytes())?;
    write_moment(out, attempt.at)?;
    out.str(attempt.tenant.as_str())?.bytes(attempt.subject.as_bytes())?.u64(attempt.identity.number())?;
    out.str(attempt.agent.as_str())?.bytes(attempt.trajectory.as_bytes())?.u64(attempt.door.number())?;
    out.str(attempt.server.as_str())?;
    write_asked(out, &attempt.asked)?;
    out.u64(attempt.decision.number())?.u64(Numbered::number(attempt.reason))?;
    write_list(out, &attempt.policies, |out, policy| out.str(policy.as_str())?.ok())?;
    write_list(out, &attempt.approvals, |out, approval| out.str(approval.as_str())?.ok())?;
    write_list(out, &attempt.obligations, |out, obligation| out.u64(obligation.number())?.ok())?;
    out.bytes(attempt.bundle.as_bytes())?;
    match &attempt.hold {
        Some(hold) => out.bytes(hold.as_bytes())?,
        None => out.null()?,
    };
    write_commitment(out, attempt.arguments.as_ref())?;
    out.u64(attempt.argument_bytes)?;
    write_list(out, &attempt.argument_names, |out, name| out.str(name)?.ok())?;
    out.u64(attempt.decide_us)?;
    if items > 21 {
        write_list(out, &attempt.grants, |out, grant| out.bytes(grant.as_bytes())?.ok())?;
    }
    if let Some(host) = &attempt.asserted_by {
        out.array(3)?.bytes(host.subject.as_bytes())?.str(host.agent.as_str())?.u64(host.identity.number())?;
    }
    Ok(())
}

fn read_attempt(input: &mut Strict<'_>) -> Result<Attempt> {
    let at = input.position();
    let items = input.array()?;
    if !matches!(items, 21..=23) {
        return input.refuse(at, "an array of the length that its kind has");
    }
    Ok(Attempt {
        call: CallId::from_bytes(input.bytes()?),
        at: read_moment(input)?,
        tenant: read_id(input, TenantId::parse)?,
        subject: SubjectHandle::from_bytes(input.bytes()?),
        identity: input.member()?,
        agent: read_id(input, AgentId::parse)?,
        trajectory: TrajectoryId::from_bytes(input.bytes()?),
        door: input.member()?,
        server: read_id(input, ServerName::parse)?,
        asked: read_asked(input)?,
        decision: input.member()?,
        reason: input.member()?,
        policies: input.list(|input| read_id(input, PolicyId::parse))?,
        approvals: input.list(|input| read_id(input, ApprovalKind::parse))?,
        obligations: input.list(Strict::member)?,
        bundle: BundleDigest::from_bytes(input.bytes()?),
        hold: input.optional(|input| input.bytes().map(HoldId::from_bytes))?,
        arguments: read_commitment(input)?,
        argument_bytes: input.uint()?,
        argument_names: input.list(|input| input.text(ARGUMENT_NAME_BYTES_MAX).map(str::to_owned))?,
        decide_us: input.uint()?,
        grants: match items {
            21 => Vec::new(),
            22 => read_grants(input)?,
            _ => input.list(|input| input.bytes().map(GrantId::from_bytes))?,
        },
        asserted_by: if items == 23 { Some(read_asserter(input)?) } else { None },
    })
}

/// A list that stands at the end only if there is something in it.
fn read_grants(input: &mut Strict<'_>) -> Result<Vec<GrantId>> {
    let at = input.position();
    let grants = input.list(|input| input.bytes().map(GrantId::from_bytes))?;
    if grants.is_empty() { input.refuse(at, "a list with a grant in it") } else { Ok(grants) }
}

fn read_asserter(input: &mut Strict<'_>) -> Result<Asserter> {
    input.tuple(3)?;
    Ok(Asserter {
        subject: SubjectHandle::from_bytes(input.bytes()?),
        agent: read_id(input, AgentId::parse)?,
        identity: input.member()?,
    })
}

fn write_asked(out: &mut Out, asked: &Asked) -> Written {
    match asked {
        Asked::Known { operation, version, pin } => {
            out.array(4)?.u64(asked::KNOWN)?.array(2)?;
            match operation {
                Operation::Tool(name) => out.u64(operation::TOOL)?.str(name.as_str())?,
                Operation::Method(method) => out.u64(operation::METHOD)?.u64(method.number())?,
            };
            out.u32(*version)?;
            match pin {
                Some(pin) => out.bytes(pin.as_bytes())?,
                None => out.null()?,
            };
        }
        Asked::Unknown(name) => {
            out.array(2)?.u64(asked::UNKNOWN)?.str(name.as_str())?;
        }
        Asked::Unnameable => {
            out.array(1)?.u64(asked::UNNAMEABLE)?;
        }
    }
    Ok(())
}

fn read_asked(input: &mut Strict<'_>) -> Result<Asked> {
    let at = input.position();
    let items = input.array()?;
    match (input.uint()?, items) {
        (asked::KNOWN, 4) => {
            let operation = read_operation(input)?;
            let at = input.position();
            let Ok(version) = u32::try_from(input.uint()?) else { return input.refuse(at, "a version below 2^32") };
            let pin = input.optional(|input| input.bytes().map(Pin::from_bytes))?;
            Ok(Asked::Known { operation, version, pin })
        }
        (asked::UNKNOWN, 2) => read_id(input, ToolName::parse).map(Asked::Unknown),
        (asked::UNNAMEABLE, 1) => Ok(Asked::Unnameable),
        _ => input.refuse(at, "one of the three ways to ask"),
    }
}

fn read_operation(input: &mut Strict<'_>) -> Result<Operation> {
    input.tuple(2)?;
    let at = input.position();
    match input.uint()? {
        operation::TOOL => read_id(input, ToolName::parse).map(Operation::Tool),
        operation::METHOD => input.member().map(Operation::Method),
        _ => input.refuse(at, "a kind of operation"),
    }
}

// === ends ===

fn write_completion(out: &mut Out, completion: &Completion) -> Written {
    out.array(8)?.bytes(completion.call.as_bytes())?;
    write_moment(out, completion.at)?;
    out.str(completion.tenant.as_str())?.u64(completion.status.number())?.bool(completion.released)?;
    write_commitment(out, completion.result.as_ref())?;
    out.u64(completion.result_bytes)?.u64(completion.execute_us)?.ok()
}

fn read_completion(input: &mut Strict<'_>) -> Result<Completion> {
    input.tuple(8)?;
    Ok(Completion {
        call: CallId::from_bytes(input.bytes()?),
        at: read_moment(input)?,
        tenant: read_id(input, TenantId::parse)?,
        status: input.member()?,
        released: input.boolean()?,
        result: read_commitment(input)?,
        result_bytes: input.uint()?,
        execute_us: input.uint()?,
    })
}

fn write_indeterminate(out: &mut Out, end: &Indeterminate) -> Written {
    out.array(4)?.bytes(end.call.as_bytes())?;
    write_moment(out, end.at)?;
    out.str(end.tenant.as_str())?.u64(end.cause.number())?.ok()
}

fn read_indeterminate(input: &mut Strict<'_>) -> Result<Indeterminate> {
    input.tuple(4)?;
    Ok(Indeterminate {
        call: CallId::from_bytes(input.bytes()?),
        at: read_moment(input)?,
        tenant: read_id(input, TenantId::parse)?,
        cause: input.member()?,
    })
}

// === holds and the monitor itself ===

fn write_resolution(out: &mut Out, resolution: &Resolution) -> Written {
    // Records from before a share was written down have six items.
    out.array(if resolution.share.is_some() { 7 } else { 6 })?.bytes(resolution.hold.as_bytes())?;
    write_moment(out, resolution.at)?;
    out.str(resolution.tenant.as_str())?.u64(resolution.resolved.number())?;
    out.bytes(resolution.by.as_bytes())?.bool(resolution.self_approved)?;
    if let Some(share) = &resolution.share {
        out.array(3)?.u64(share.identity.number())?.u8(share.number)?.u8(share.needed)?;
    }
    Ok(())
}

fn read_resolution(input: &mut Strict<'_>) -> Result<Resolution> {
    let at = input.position();
    let items = input.array()?;
    if !matches!(items, 6 | 7) {
        return input.refuse(at, "an array of the length that its kind has");
    }
    Ok(Resolution {
        hold: HoldId::from_bytes(input.bytes()?),
        at: read_moment(input)?,
        tenant: read_id(input, TenantId::parse)?,
        resolved: input.member()?,
        by: SubjectHandle::from_bytes(input.bytes()?),
        self_approved: input.boolean()?,
        share: if items == 7 { Some(read_share(input)?) } else { None },
    })
}

fn read_share(input: &mut Strict<'_>) -> Result<Share> {
    input.tuple(3)?;
    let identity = input.member()?;
    let at = input.position();
    let (number, needed) = (input.uint()?, input.uint()?);
    match (u8::try_from(number), u8::try_from(needed)) {
        (Ok(number), Ok(needed)) if (1..=needed).contains(&number) => Ok(Share { identity, number, needed }),
        _ => input.refuse(at, "which of how many, from 1"),
    }
}

fn write_notice(out: &mut Out, notice: &Notice) -> Written {
    out.array(2)?;
    write_moment(out, notice.at)?;
    match &notice.event {
        Event::Started(bundle) => out.array(2)?.u64(event::STARTED)?.bytes(bundle.as_bytes())?,
        Event::Stopped => out.array(1)?.u64(event::STOPPED)?,
        Event::Recovered { open, torn_bytes } => out.array(3)?.u64(event::RECOVERED)?.u64(*open)?.u64(*torn_bytes)?,
        Event::Activated(bundle) => out.array(2)?.u64(event::ACTIVATED)?.bytes(bundle.as_bytes())?,
        Event::Refused(bundle) => out.array(2)?.u64(event::REFUSED)?.bytes(bundle.as_bytes())?,
        Event::Quarantined { server, tool } => {
            out.array(3)?.u64(event::QUARANTINED)?.str(server.as_str())?.str(tool.as_str())?
        }
        Event::Halted { by } => out.array(2)?.u64(event::HALTED)?.bytes(by.as_bytes())?,
        Event::Resumed { by } => out.array(2)?.u64(event::RESUMED)?.bytes(by.as_bytes())?,
    };
    Ok(())
}

fn read_notice(input: &mut Strict<'_>) -> Result<Notice> {
    input.tuple(2)?;
    let at = read_moment(input)?;
    let offset = input.position();
    let items = input.array()?;
    let event = match (input.uint()?, items) {
        (event::STARTED, 2) => Event::Started(BundleDigest::from_bytes(input.bytes()?)),
        (event::STOPPED, 1) => Event::Stopped,
        (event::RECOVERED, 3) => Event::Recovered { open: input.uint()?, torn_bytes: input.uint()? },
        (event::ACTIVATED, 2) => Event::Activated(BundleDigest::from_bytes(input.bytes()?)),
        (event::REFUSED, 2) => Event::Refused(BundleDigest::from_bytes(input.bytes()?)),
        (event::QUARANTINED, 3) => {
            Event::Quarantined { server: read_id(input, ServerName::parse)?, tool: read_id(input, ToolName::parse)? }
        }
        (event::HALTED, 2) => Event::Halted { by: SubjectHandle::from_bytes(input.bytes()?) },
        (event::RESUMED, 2) => Event::Resumed { by: SubjectHandle::from_bytes(input.bytes()?) },
        _ => return input.refuse(offset, "an event of the monitor"),
    };
    Ok(Notice { at, event })
}

// === parts ===

pub(super) fn write_list<T>(out: &mut Out, items: &[T], mut write: impl FnMut(&mut Out, &T) -> Written) -> Written {
    out.array(items.len() as u64)?;
    items.iter().try_for_each(|item| write(out, item))
}

pub(super) fn write_moment(out: &mut Out, at: Moment) -> Written {
    out.array(2)?.u64(at.unix_us)?.u64(at.monotonic_ns)?.ok()
}

pub(super) fn read_moment(input: &mut Strict<'_>) -> Result<Moment> {
    input.tuple(2)?;
    Ok(Moment { unix_us: input.uint()?, monotonic_ns: input.uint()? })
}

pub(super) fn write_commitment(out: &mut Out, commitment: Option<&Commitment>) -> Written {
    match commitment {
        Some(commitment) => out.array(2)?.bytes(&commitment.salt)?.bytes(&commitment.mac)?.ok(),
        None => out.null()?.ok(),
    }
}

pub(super) fn read_commitment(input: &mut Strict<'_>) -> Result<Option<Commitment>> {
    input.optional(|input| {
        input.tuple(2)?;
        Ok(Commitment { salt: input.bytes()?, mac: input.bytes()? })
    })
}

pub(super) fn read_id<T>(input: &mut Strict<'_>, parse: impl FnOnce(&str) -> Result<T, IdError>) -> Result<T> {
    let at = input.position();
    let text = input.text(limits::ID_BYTES_MAX)?;
    parse(text).or_else(|_| input.refuse(at, "an identifier"))
}
