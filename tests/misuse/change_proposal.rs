// Attack: the arguments that are judged are not those of the message.
use refmon_core::monitor::Proposal;

fn change(proposal: &mut Proposal) {
    proposal.arguments = 0..0;
}

fn main() {}
