# A Request Tracker that keeps everything in one directory and mails nobody: what it would send is written into a file.
Set($rtname, 'example');
Set($Organization, 'example.org');
Set($CorrespondAddress, 'rt@example.org');
Set($CommentAddress, 'rt-comment@example.org');
Set($DatabaseType, 'SQLite');
Set($DatabaseName, '@DIR@/rt.db');
Set($WebPath, '');
Set($WebDomain, '127.0.0.1');
Set($WebPort, @PORT@);
Set($LogToFile, undef);
Set($LogToSyslog, undef);
Set($LogToSTDERR, 'warning');
# Each request proves who asks; at the usual cost a test would do little else.
Set($BcryptCost, 4);
Set($Timezone, 'America/New_York');
Set($MailCommand, sub {
    open my $mails, '>>', '@DIR@/mails' or return 0;
    print $mails $_[0]->stringify, "\n";
    return close $mails;
});
$RT::VarPath = '@DIR@/var';
$RT::MasonDataDir = '@DIR@/var/mason';
$RT::MasonSessionDir = '@DIR@/var/session';
1;
