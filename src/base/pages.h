/* Memory that only the start needed.
 *
 * Reading configuration and keys, choosing ciphers and relocating libraries walk through megabytes of code and tables
 * that are not looked at again, and the kernel maps sixteen pages where one is touched. They stay mapped, and count as
 * ours, until memory is short. This gives them back when a role is ready, and once more when its first
 * keys have their tables. Nothing is hidden by it: these are
 * unchanged pages of files, whoever needs one again gets it from the page cache by a page fault, and from then on it
 * counts again. What we have written (heap, stacks, relocated tables) is not touched, and nothing is done over
 * and over: what comes back is in use. Knows nothing of who calls. */
#ifndef SALLYPORT_BASE_PAGES_H
#define SALLYPORT_BASE_PAGES_H

/* Any thread, while others run. Best effort: where the system refuses, nothing changes. */
void pages_forget_start(void);

#endif
