// The running program itself.
#pragma once

// Its file, links followed; owned by the caller. NULL when that cannot be found out.
char *program_file(void);
