# Queues, people and their rights, as an operator would give them. Prints the token of Drover's own user.
use strict;
use warnings;
use lib '/usr/local/share/request-tracker5/lib', '/usr/share/request-tracker5/lib';
use RT;
RT::LoadConfig();
RT::Init();
require RT::AuthToken;

sub made {
    my ($class, %args) = @_;
    my $record = $class->new(RT->SystemUser);
    my ($ok, $message) = $record->Create(%args);
    die "$class: $message" unless $ok;
    return $record;
}

sub may {
    my ($who, $queue, @rights) = @_;
    for my $right (@rights) {
        my ($ok, $message) = $who->PrincipalObj->GrantRight(Object => $queue, Right => $right);
        die "$right: $message" unless $ok;
    }
}

my $maintenance = made('RT::Queue', Name => "Owner's maintenance");
my $elsewhere = made('RT::Queue', Name => 'Elsewhere');
made('RT::Queue', Name => 'Secret');
my $drover = made('RT::User', Name => 'drover', EmailAddress => 'drover@example.org', Password => 'drover-password', Privileged => 1);
my $nina = made('RT::User', Name => 'nina', EmailAddress => 'nina@example.org', Password => 'nina-password', Privileged => 1);
made('RT::User', Name => 'ada@example.org', EmailAddress => 'ada@example.org', Password => 'ada-password', Privileged => 0);
for my $queue ($maintenance, $elsewhere) {
    my @rights = qw(SeeQueue ShowTicket ShowTicketComments ReplyToTicket CommentOnTicket ModifyTicket);
    may($nina, $queue, @rights, qw(CreateTicket OwnTicket));
    may($drover, $queue, @rights);
    may(RT->System->RoleGroup('Requestor'), $queue, qw(SeeQueue ShowTicket ReplyToTicket));
}
may($drover, $maintenance, 'CreateTicket');
# As is usual where customers write mails: whoever answers one is heard.
my $everyone = RT::Group->new(RT->SystemUser);
$everyone->LoadSystemInternalGroup('Everyone');
may($everyone, $maintenance, qw(CreateTicket ReplyToTicket));

my $token = RT::AuthToken->new(RT->SystemUser);
my ($ok, $message, $secret) = $token->Create(Owner => $drover->id, Description => 'drover');
die $message unless $ok;
print $secret;
