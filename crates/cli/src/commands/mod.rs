//! The commands, one file each.

pub(crate) mod audit;
pub(crate) mod check;
pub(crate) mod contract;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod grant;
pub(crate) mod halt;
pub(crate) mod holds;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod policy;
pub(crate) mod ready;
pub(crate) mod serve;
pub(crate) mod wrap;
