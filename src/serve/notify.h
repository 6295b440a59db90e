/* sd_notify without libsystemd: datagrams to $NOTIFY_SOCKET (sd_notify(3)). Without it every call does nothing. */
#ifndef SALLYPORT_SERVE_NOTIFY_H
#define SALLYPORT_SERVE_NOTIFY_H

#include "base/str.h"

void notify_ready(void);
void notify_reloading(uint64_t mono_ns); /* with MONOTONIC_USEC, as Type=notify-reload wants; then notify_ready() */
void notify_stopping(void);
void notify_alive(void);      /* WATCHDOG=1 */
void notify_status(str text); /* one line for `systemctl status`; controls become blanks */

#endif
