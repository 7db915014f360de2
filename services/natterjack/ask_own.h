/* ask_own.h - `natterjack explain SID --join J --key FILE`: a peer asks about a session of its own. */
#ifndef ASK_OWN_H
#define ASK_OWN_H

#include <stdbool.h>

bool ask_own_wanted(int argc, char **argv); /* is a key among the flags? */
int ask_own(int argc, char **argv);         /* the verb; the exit status */

#endif
